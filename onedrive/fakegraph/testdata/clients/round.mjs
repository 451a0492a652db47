// The whole round of Microsoft's own JavaScript libraries and of onedrive-api, none of them
// changed, against the stand-in: node round.mjs https://localhost:8443 [robin@demo.example]
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { AuthorizationCodeCredential, DeviceCodeCredential } from "@azure/identity";
import * as msal from "@azure/msal-node";
import graph from "@microsoft/microsoft-graph-client";
import onedrive from "onedrive-api";

const base = process.argv[2] ?? "https://localhost:8443";
const login = process.argv[3] ?? "robin@demo.example";
const business = login.endsWith("@work.example");
const clientId = "6731de76-14a6-49ae-97bc-6eba6914391e";
const redirectUri = "http://localhost:3000/callback";
const scopes = ["User.Read", "Files.ReadWrite", "offline_access"];
const host = new URL(base).host;
const top = `Round ${randomBytes(4).toString("hex")} #1 100%`;

/** @type {[string, () => Promise<void>][]} */
const steps = [];
const step = (name, run) => steps.push([name, run]);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex").toUpperCase();

// signedIn answers an authorize address the way the browser of somebody signed in does.
async function signedIn(address) {
  const answer = await fetch(address, { redirect: "manual" });
  const back = new URL(answer.headers.get("location"));
  assert.ok(back.searchParams.get("code"), `authorize answered ${answer.status} ${back}`);
  return back;
}

// ---- MSAL
const app = new msal.ConfidentialClientApplication({
  auth: { clientId, clientSecret: "any", authority: `${base}/common`, knownAuthorities: [host] },
});
let account;
step("msal-node: authorization code with PKCE", async () => {
  const { verifier, challenge } = await new msal.CryptoProvider().generatePkceCodes();
  const address = await app.getAuthCodeUrl({
    scopes, redirectUri, codeChallenge: challenge, codeChallengeMethod: "S256", state: "s", nonce: "n", prompt: "none", loginHint: login,
  });
  const back = await signedIn(address);
  const query = Object.fromEntries(back.searchParams);
  const result = await app.acquireTokenByCode({ code: query.code, scopes, redirectUri, codeVerifier: verifier, nonce: "n", state: "s" }, query);
  account = result.account;
  assert.equal(account.username, login);
});
step("msal-node: from the cache, then by the refresh token", async () => {
  const cached = await app.acquireTokenSilent({ account, scopes });
  assert.ok(cached.fromCache);
  const fresh = await app.acquireTokenSilent({ account, scopes, forceRefresh: true });
  assert.notEqual(fresh.accessToken, cached.accessToken);
});

// ---- Microsoft Graph client, with tokens of MSAL
const token = async () => (await app.acquireTokenSilent({ account, scopes })).accessToken;
const client = graph.Client.initWithMiddleware({
  baseUrl: `${base}/`, defaultVersion: "v1.0", customHosts: new Set([new URL(base).hostname]), authProvider: { getAccessToken: token },
});
const bytes = (n) => randomBytes(n);
const uploadOptions = (extra) => ({ rangeSize: 5 * 320 * 1024, ...extra });
let folder, small, large;
const big = bytes(7 * 1024 * 1024 + 17);

step("graph client: me and drive", async () => {
  assert.equal((await client.api("/me").get()).userPrincipalName, login);
  const drive = await client.api("/me/drive").select("id,driveType,quota").get();
  assert.equal(drive.driveType, business ? "business" : "personal");
  assert.ok(drive.quota.remaining > 0);
});
step("graph client: PageIterator over 230 folders", async () => {
  const seen = new Set();
  const first = await client.api("/me/drive/root:/Archive:/children").top(50).get();
  await new graph.PageIterator(client, first, (item) => Boolean(seen.add(item.id))).iterate();
  assert.equal(seen.size, 230);
});
step("graph client: make a folder; a second one of that name is a 409", async () => {
  const body = { name: top, folder: {}, "@microsoft.graph.conflictBehavior": "fail" };
  folder = await client.api("/me/drive/root/children").post(body);
  await assert.rejects(client.api("/me/drive/root/children").post(body), (e) => e.statusCode === 409 && e.code === "nameAlreadyExists");
});
step("graph client: PUT a small file, replace it, rename, fail", async () => {
  const at = (name, behavior) => client.api(`/me/drive/items/${folder.id}:/${encodeURIComponent(name)}:/content`).query(behavior ? { "@microsoft.graph.conflictBehavior": behavior } : {});
  small = await at("small ü.txt").put("small");
  const again = await at("small ü.txt").put("smaller");
  assert.equal(again.id, small.id);
  assert.equal((await at("small ü.txt", "rename").put("other")).name, "small ü 1.txt");
  await assert.rejects(at("small ü.txt", "fail").put("never"), (e) => e.statusCode === 409 && e.code === "nameAlreadyExists");
  small = again;
});
step("graph client: LargeFileUploadTask in five fragments", async () => {
  const session = await graph.LargeFileUploadTask.createUploadSession(client, `${base}/v1.0/me/drive/items/${folder.id}:/large.bin:/createUploadSession`, {
    item: { "@microsoft.graph.conflictBehavior": "fail" },
  });
  const seen = [];
  const file = new graph.FileUpload(big, "large.bin", big.byteLength);
  const task = new graph.LargeFileUploadTask(client, file, session, uploadOptions({ uploadEventHandlers: { progress: (range) => seen.push(range.maxValue) } }));
  large = (await task.upload()).responseBody;
  assert.equal(large.size, big.byteLength);
  assert.ok(seen.length >= 4, `progress: ${seen}`);
});
step("graph client: OneDriveLargeFileUploadTask from a stream, replace and rename", async () => {
  const upload = async (conflictBehavior) => {
    const file = new graph.StreamUpload(Readable.from([big.subarray(0, 3_000_000), big.subarray(3_000_000)], { objectMode: false }), "large.bin", big.byteLength);
    const task = await graph.OneDriveLargeFileUploadTask.createTaskWithFileObject(client, file, uploadOptions({ path: `/${top}`, fileName: "large.bin", conflictBehavior }));
    return (await task.upload()).responseBody;
  };
  assert.equal((await upload("replace")).id, large.id);
  assert.equal((await upload("rename")).name, "large 1.bin");
});
step("graph client: an upload is broken off, asked about, resumed and another cancelled", async () => {
  const create = (name) => graph.LargeFileUploadTask.createUploadSession(client, `/me/drive/items/${folder.id}:/${name}:/createUploadSession`, {});
  const session = await create("resumed.bin");
  const file = new graph.FileUpload(big, "resumed.bin", big.byteLength);
  const task = new graph.LargeFileUploadTask(client, file, session, uploadOptions());
  await task.uploadSlice(file.sliceFile(task.getNextRange()), task.getNextRange(), file.size);
  const resumed = await new graph.LargeFileUploadTask(client, file, session, uploadOptions()).resume();
  assert.equal(resumed.responseBody.file.hashes.sha256Hash ?? sha256(big), sha256(big));
  const other = new graph.LargeFileUploadTask(client, file, await create("cancelled.bin"), uploadOptions());
  assert.equal((await other.cancel()).status, 204);
});
step("graph client: download as a stream and as bytes", async () => {
  const got = Buffer.from(await client.api(`/me/drive/items/${large.id}/content`).responseType(graph.ResponseType.ARRAYBUFFER).get());
  assert.equal(sha256(got), sha256(big));
  const chunks = [];
  for await (const chunk of await client.api(`/me/drive/root:/${encodeURIComponent(top)}/large.bin:/content`).getStream()) chunks.push(chunk);
  assert.equal(sha256(Buffer.concat(chunks)), sha256(big));
});
step("graph client: rename and move, copy with its monitor", async () => {
  const sub = await client.api(`/me/drive/items/${folder.id}/children`).post({ name: "Sub", folder: {} });
  const moved = await client.api(`/me/drive/items/${small.id}`).update({ name: "moved.txt", parentReference: { id: sub.id } });
  assert.equal(moved.parentReference.id, sub.id);
  const answer = await client.api(`/me/drive/items/${moved.id}/copy`).responseType(graph.ResponseType.RAW).post({ name: "copied.txt" });
  assert.equal(answer.status, 202);
  for (let n = 0; ; n++) {
    const status = await fetch(answer.headers.get("location"), { redirect: "manual" });
    const body = status.status === 303 ? { status: "completed" } : await status.json();
    if (body.status === "completed") break;
    assert.ok(n < 50, "the copy never ends");
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.equal((await client.api(`/me/drive/items/${sub.id}:/copied.txt`).get()).size, 7);
});
step("graph client: batch", async () => {
  const request = (id, path, options) => ({ id, request: new Request(`${base}/v1.0${path}`, options) });
  const content = await new graph.BatchRequestContent([
    request("1", "/me/drive"),
    { ...request("2", `/me/drive/items/${folder.id}/children`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name: "Batched", folder: {} }) }), dependsOn: ["1"] },
    { ...request("3", "/me/drive/items/nothing"), dependsOn: ["1"] },
  ]).getContent();
  for (const r of content.requests) r.url = r.url.replace(/^.*?(?=\/me\/)/, "");
  const answers = new graph.BatchResponseContent(await client.api("/$batch").post(content));
  assert.deepEqual(["1", "2", "3"].map((id) => answers.getResponseById(id).status), [200, 201, 404]);
});
step("graph client: search, delta, thumbnails", async () => {
  assert.ok((await client.api(`/me/drive/root/search(q='large')`).get()).value.some((item) => item.id === large.id));
  let page = await client.api("/me/drive/root/delta").get();
  while (page["@odata.nextLink"]) page = await client.api(page["@odata.nextLink"]).get();
  const link = page["@odata.deltaLink"];
  await client.api(`/me/drive/items/${folder.id}:/late.txt:/content`).put("late");
  assert.ok((await client.api(link).get()).value.some((item) => item.name === "late.txt"));
  const pictures = await client.api("/me/drive/special/photos/children").expand(business ? "" : "thumbnails").get();
  const picture = pictures.value.find((item) => item.image);
  const set = (await client.api(`/me/drive/items/${picture.id}/thumbnails`).get()).value[0];
  assert.equal((await fetch(set.medium.url)).headers.get("content-type"), "image/jpeg");
});
step("graph client: 401 once the tokens have expired, then a refreshed one works", async () => {
  const old = await token();
  const form = new URLSearchParams({ account: login, do: "expire" });
  assert.equal((await fetch(`${base}/control`, { method: "POST", body: form, redirect: "manual" })).status, 303);
  await assert.rejects(client.api("/me/drive").get(), (e) => e.statusCode === 401 && e.code === "InvalidAuthenticationToken");
  const fresh = await app.acquireTokenSilent({ account, scopes, forceRefresh: true });
  assert.notEqual(fresh.accessToken, old);
  assert.equal((await client.api("/me/drive").get()).driveType, business ? "business" : "personal");
});

// ---- @azure/identity
const options = { authorityHost: base, disableInstanceDiscovery: true };
step("identity: AuthorizationCodeCredential", async () => {
  const query = new URLSearchParams({ client_id: clientId, response_type: "code", redirect_uri: redirectUri, scope: scopes.join(" "), prompt: "none", login_hint: login });
  const back = await signedIn(`${base}/common/oauth2/v2.0/authorize?${query}`);
  const credential = new AuthorizationCodeCredential("common", clientId, "any", back.searchParams.get("code"), redirectUri, options);
  const got = await credential.getToken(["User.Read"]);
  assert.ok(got.expiresOnTimestamp > Date.now());
});
step("identity: DeviceCodeCredential", async () => {
  const credential = new DeviceCodeCredential({ ...options, clientId, tenantId: "common", userPromptCallback: async ({ userCode, verificationUri }) => {
    await fetch(verificationUri, { method: "POST", body: new URLSearchParams({ otc: userCode, login }) });
  } });
  const { token } = await credential.getToken(["Files.Read"]);
  assert.equal((await fetch(`${base}/v1.0/me/drive`, { headers: { Authorization: `Bearer ${token}` } })).status, 200);
});

// ---- onedrive-api
step("onedrive-api: its whole round", async () => {
  globalThis.appConfig.apiUrl = `${base}/v1.0/`;
  const accessToken = await token(), { items } = onedrive;
  const made = await items.createFolder({ accessToken, itemId: folder.id, name: "By onedrive-api" });
  const simple = await items.uploadSimple({ accessToken, parentId: made.id, filename: "simple.txt", readableStream: Readable.from([Buffer.from("simple")]) });
  assert.equal(simple.size, 6);
  const session = await items.uploadSession({ accessToken, parentId: made.id, filename: "session.bin", fileSize: big.byteLength, readableStream: chunked(big) });
  assert.equal(session.size, big.byteLength);
  assert.equal((await items.listChildren({ accessToken, itemId: made.id, query: "?$top=1" })).value.length, 1);
  assert.equal((await items.getMetadata({ accessToken, itemId: simple.id })).name, "simple.txt");
  const chunks = [];
  for await (const chunk of await items.download({ accessToken, itemId: session.id })) chunks.push(chunk);
  assert.equal(sha256(Buffer.concat(chunks)), sha256(big));
  assert.equal((await items.update({ accessToken, itemId: simple.id, toUpdate: { name: "renamed.txt" } })).name, "renamed.txt");
  assert.ok((await items.createLink({ accessToken, itemId: simple.id, type: "view" })).link.webUrl);
  await items.delete({ accessToken, itemId: made.id });
  await assert.rejects(items.getMetadata({ accessToken, itemId: simple.id }), /404/);
});

// chunked gives the bytes as a file stream does, 64 KiB at a time.
function chunked(all) {
  const parts = [];
  for (let at = 0; at < all.length; at += 65536) parts.push(all.subarray(at, at + 65536));
  return Readable.from(parts, { objectMode: false, highWaterMark: 65536 });
}

step("graph client: delete", async () => {
  await client.api(`/me/drive/items/${folder.id}`).delete();
  await assert.rejects(client.api(`/me/drive/items/${large.id}`).get(), (e) => e.statusCode === 404 && e.code === "itemNotFound");
});

let failed = 0;
for (const [name, run] of steps) {
  const start = performance.now();
  try {
    await run();
    console.log(`ok   ${name} (${Math.round(performance.now() - start)} ms)`);
  } catch (e) {
    failed++;
    console.log(`FAIL ${name}: ${String(e.stack ?? e).split("\n").slice(0, 12).join("\n")}${e.body ? "\n     " + e.body : ""}`);
    if (steps.findIndex(([n]) => n === name) < 2) break; // nothing goes without a sign-in
  }
}
console.log(`${login}: ${steps.length - failed} of ${steps.length} steps`);
process.exit(failed ? 1 : 0);
