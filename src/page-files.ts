/** Small JSON files that lie beside the page: the list of local models, the demo questions. The page's only requests besides shards, models and an own endpoint. */

/** The parsed file, or null if it is not there, not reachable or not JSON (a static host may answer any path with a web page). */
export async function readPageJson(base: string, path: string): Promise<unknown> {
  try {
    const response = await fetch(new URL(path, base), { cache: 'no-cache' });
    if (!response.ok || !(response.headers.get('content-type') ?? '').includes('json')) return null;
    return (await response.json()) as unknown;
  } catch (error) {
    if (error instanceof TypeError || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** A file of text beside the page, such as the template of the lab's report; null if it is not there or not reachable. */
export async function readPageText(base: string, path: string): Promise<string | null> {
  try {
    const response = await fetch(new URL(path, base), { cache: 'no-cache' });
    return response.ok ? await response.text() : null;
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}
