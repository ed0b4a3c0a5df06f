// Requests to the server of this page. Errors are its words.

const MARK = { "x-avsep": "page" };

export class Refused extends Error {}

// The result is not any more in the version that was asked for.
export class Changed extends Refused {}

export async function ask(path, settings = {}) {
  let answer;
  try {
    answer = await fetch(path, settings);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The page's server does not answer. Is avsep page still running?");
  }
  if (answer.ok) return answer;
  let said = `${answer.status} ${answer.statusText}`;
  const text = await answer.text();
  try {
    said = JSON.parse(text).error;
  } catch {
    said = text || said;
  }
  throw new (answer.status === 409 ? Changed : Refused)(said);
}

export const get = async (path) => (await ask(path)).json();

export async function post(path, document = {}) {
  const headers = { ...MARK, "content-type": "application/json" };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(document) })).json();
}

export const results = () => get("api/results");
export const about = () => get("api/about");
export const jobs = () => get("api/jobs");
export const cancel = (job) => post(`api/jobs/${job}/cancel`);
export const result = (id) => get(`api/results/${id}`);
export const faces = (id, version) => get(`api/results/${id}/faces?v=${version}`);
export const change = (result, what, document) =>
  post(`api/results/${result.id}/change/${what}?v=${result.version}`, document);

export const videoAddress = (result) => `api/results/${result.id}/video`;
export const thumbnailAddress = (result, track) => `api/results/${result.id}/thumbnail/${track}?v=${result.version}`;
export const fileAddress = (result, name) => `api/results/${result.id}/file/${encodeURIComponent(name)}`;
export const archiveAddress = (result, names) =>
  `api/results/${result.id}/archive?${new URLSearchParams(names.map((name) => ["file", name]))}`;

// 16-bit samples (tracks, channels, time) of a piece of all tracks, and what they are to be multiplied with.
export async function sound(result, number, signal) {
  const answer = await ask(`api/results/${result.id}/sound/${number}?v=${result.version}`, { signal });
  return { samples: new Int16Array(await answer.arrayBuffer()), scale: Number(answer.headers.get("x-scale")) };
}

// 8-bit lowest and highest values (tracks, bins, 2) of a piece of all tracks.
export async function outline(result, number) {
  const answer = await ask(`api/results/${result.id}/outline/${number}?v=${result.version}`);
  return new Int8Array(await answer.arrayBuffer());
}

// Sends a clip; tell(part) says how much of it is sent. Returns the promise of the job, and how to stop.
export function send(file, options, tell) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("POST", `api/jobs?${new URLSearchParams({ name: file.name, ...options })}`);
    request.setRequestHeader("x-avsep", "page");
    request.setRequestHeader("content-type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => tell(event.loaded / (event.total || 1)));
    request.addEventListener("load", () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        answer = { error: request.responseText };
      }
      if (request.status < 300) resolve(answer);
      else reject(new Refused(answer.error || `${request.status}`));
    });
    request.addEventListener("error", () => reject(new Refused(`${file.name} could not be sent`)));
    request.addEventListener("abort", () => reject(new Refused(`${file.name} was not sent`)));
    request.send(file);
  });
  return { done, stop: () => request.abort() };
}
