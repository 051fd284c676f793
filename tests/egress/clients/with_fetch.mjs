// METHOD URL ... on the command line -> a status each, as JSON. NODE_USE_ENV_PROXY=1.
const found = [];
for (let at = 2; at < process.argv.length; at += 2) {
  const [method, url] = [process.argv[at], process.argv[at + 1]];
  const body = method === "POST" ? JSON.stringify({ item: 4711 }) : undefined;
  const headers = body ? { "content-type": "application/json" } : {};
  try {
    const answer = await fetch(url, { method, body, headers });
    await answer.arrayBuffer();
    found.push(answer.status);
  } catch (error) {
    const told = `${error} ${error.cause} ${error.cause?.cause}`;
    found.push(told.includes("403") ? 403 : told);
  }
}
console.log(JSON.stringify(found));
