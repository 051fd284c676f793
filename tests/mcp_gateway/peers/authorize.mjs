// Loaded into the conformance suite (node --import): every request it makes carries the key of an
// agent, as the gateway wants and the suite has no option for.
import { subscribe } from "node:diagnostics_channel";

const credential = `Bearer ${process.env.REMIT_KEY}`;
subscribe("undici:request:create", ({ request }) => request.addHeader("authorization", credential));
subscribe("http.client.request.created", ({ request }) => {
  request.setHeader("authorization", credential);
});
