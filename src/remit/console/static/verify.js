// Checks in the browser that a record is in the signed log. The server only delivers the parts:
// the record's bytes, the hashes beside its path, the checkpoint and the log's public key.

const bytes = (base64) => Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
const same = (one, other) => one.length === other.length && one.every((x, i) => x === other[i]);

async function sha256(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

const leafHash = (body) => sha256(Uint8Array.of(0), body); // RFC 6962 section 2.1
const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);

// RFC 9162 section 2.1.3.2. Positions are below 2^53, so no bit operations.
export async function rootFrom(index, size, leaf, proof) {
  if (index >= size) return null;
  let fn = index;
  let sn = size - 1;
  let hash = leaf;
  for (const part of proof) {
    if (sn === 0) return null;
    if (fn % 2 === 1 || fn === sn) {
      hash = await nodeHash(part, hash);
      while (fn % 2 === 0 && fn !== 0) { fn = Math.floor(fn / 2); sn = Math.floor(sn / 2); }
    } else {
      hash = await nodeHash(hash, part);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 ? hash : null;
}

export async function signedBy(note, vkey) {
  const cut = note.lastIndexOf("\n\n");
  const text = new TextEncoder().encode(note.slice(0, cut + 1));
  const [name, , ...key] = vkey.split("+");
  const material = bytes(key.join("+")); // one byte for the algorithm, then the key
  const id = (await sha256(new TextEncoder().encode(`${name}\n`), material)).slice(0, 4);
  const publicKey = await crypto.subtle.importKey(
    "raw", material.slice(1), { name: "Ed25519" }, false, ["verify"]);
  for (const line of note.slice(cut + 2).split("\n")) {
    const [, signer, encoded] = line.split(" ");
    if (signer !== name || !encoded) continue;
    const signature = bytes(encoded);
    if (same(signature.slice(0, 4), id)) {
      return crypto.subtle.verify({ name: "Ed25519" }, publicKey, signature.slice(4), text);
    }
  }
  return false;
}

async function check(url, say) {
  if (!crypto.subtle) {
    say(false, "This browser checks hashes only over HTTPS or on the server's own machine.");
    return false;
  }
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  if (!answer.ok) { say(false, `The server gives no proof (${answer.status}).`); return false; }
  const given = await answer.json();
  const leaf = await leafHash(bytes(given.record));
  say(true, "The record's bytes were hashed.");
  const root = await rootFrom(given.index, given.size, leaf, given.proof.map(bytes));
  const [origin, size, stated] = given.checkpoint.split("\n");
  const proven = root !== null && Number(size) === given.size && same(root, bytes(stated));
  say(proven, proven
    ? `With ${given.proof.length} hashes they lead to the root of the ${size} records of ${origin}.`
    : "They do not lead to the root in the checkpoint.");
  let signed = false;
  try {
    signed = await signedBy(given.checkpoint, given.vkey);
    say(signed, signed ? "The checkpoint carries the log's signature."
      : "The checkpoint's signature is not that of the log's key.");
  } catch {
    say(false, "This browser cannot check Ed25519 signatures; compare with `remit audit verify`.");
  }
  return proven && signed;
}

const button = document.getElementById("verify");
if (button) {
  button.addEventListener("click", async () => {
    const list = document.getElementById("verdict");
    list.replaceChildren();
    delete list.dataset.verified;
    const say = (good, words) => {
      const item = document.createElement("li");
      item.className = good ? "ok" : "not-ok";
      item.textContent = words;
      list.append(item);
    };
    button.disabled = true;
    try {
      const good = await check(button.dataset.proof, say);
      list.dataset.verified = String(good);
      say(good, good ? "Verified here, in this browser." : "Not verified.");
    } catch (error) {
      list.dataset.verified = "false";
      say(false, `Not verified: ${error.message}`);
    }
    button.disabled = false;
  });
}
