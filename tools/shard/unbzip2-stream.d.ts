declare module 'unbzip2-stream' {
  /** A duplex stream from bzip2 to plain bytes. */
  export default function unbzip2Stream(): NodeJS.ReadWriteStream;
}
