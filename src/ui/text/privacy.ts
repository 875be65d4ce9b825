/** What leaves the device, in the words that every view uses. */

export const privacy = {
  promise: 'Nothing you ask and nothing in your library leaves this device.',
  nothing: 'Nothing you ask and nothing in your library leaves this device. Models, search and documents run in this browser; there are no accounts and no telemetry.',
  downloads:
    'The page connects to the network for three things only: its own files, shards that you import, and model files that you load. What is sent is the request for the file.',
  endpoint: 'If you enter your own model server, your questions and the passages found for them are sent to that server, and to nobody else.',
} as const;
