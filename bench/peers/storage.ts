/** A plain key-value store in IndexedDB for peers that leave persistence to their users, and the one place that a finished index is read back from. */

const settled = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('the request failed'));
  });

async function openStore(name: string): Promise<IDBDatabase> {
  const opening = indexedDB.open(`peer-${name}`, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore('entries');
  return settled(opening);
}

/** Replaces all that is stored under `name`. */
export async function store(name: string, entries: Iterable<readonly [string, unknown]>): Promise<void> {
  const database = await openStore(name);
  try {
    await new Promise<void>((resolve, reject) => {
      const transaction = database.transaction('entries', 'readwrite');
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'));
      const entriesStore = transaction.objectStore('entries');
      entriesStore.clear();
      for (const [key, value] of entries) entriesStore.put(value, key);
    });
  } finally {
    database.close();
  }
}

/** All that is stored under `name`, in the order of the keys. */
export async function load(name: string): Promise<[string, unknown][]> {
  const database = await openStore(name);
  try {
    const entries = database.transaction('entries').objectStore('entries');
    const [keys, values] = await Promise.all([settled(entries.getAllKeys()), settled(entries.getAll() as IDBRequest<unknown[]>)]);
    return keys.map((key, i) => [String(key), values[i]]);
  } finally {
    database.close();
  }
}

/** Bytes of a text in UTF-8. */
export const sizeOf = (text: string): number => new Blob([text]).size;
