// Portkey 1.15.2 changes the headers of the response that fetch gives it, which Node.js does not
// permit ("TypeError: immutable"), so that every stream fails. With headers of its own it works.
const original = globalThis.fetch
globalThis.fetch = async (...given) => {
  const { body, status, headers } = await original(...given)
  return new Response(body, { status, headers: new Headers(headers) })
}
