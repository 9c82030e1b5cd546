// What this browser keeps: conversations and settings, in its IndexedDB, and on no server.

const NAME = "longctx", VERSION = 1;

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

let opened = null;

function open() {
  opened ||= (() => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("conversations", { keyPath: "id" });
      request.result.createObjectStore("settings");
    };
    return done(request);
  })();
  return opened;
}

async function within(store, mode, action) {
  const database = await open();
  return done(action(database.transaction(store, mode).objectStore(store)));
}

export const keep = (conversation) =>
  within("conversations", "readwrite", (store) => store.put(conversation.toRecord()));
export const forget = (id) => within("conversations", "readwrite", (store) => store.delete(id));
export const find = (id) => within("conversations", "readonly", (store) => store.get(id));

/* Id and title of each, the last one changed first. */
export async function list() {
  const all = await within("conversations", "readonly", (store) => store.getAll());
  return all.sort((a, b) => b.changed - a.changed).map(({ id, title }) => ({ id, title }));
}

export const keepSettings = (settings) =>
  within("settings", "readwrite", (store) => store.put(settings, "page"));
export const findSettings = () => within("settings", "readonly", (store) => store.get("page"));
