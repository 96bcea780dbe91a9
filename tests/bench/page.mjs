// The environment of measure.mjs and the peers in a page. With ?cold=PEER it starts that peer and tells how long after
// the navigation its first outputs were there.
const env = {
  ...(await (await fetch('/work/networks/networks.json')).json()),
  isNode: false,
  url: name => new URL(`/${name}`, location.href).href,
  bytes: async name => (await fetch(`/${name}`)).arrayBuffer(),
  script: name =>
    new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.src = `/${name}`;
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${name} does not load`));
      document.body.append(script);
    }),
};
const cold = new URLSearchParams(location.search).get('cold');
const {Host, coldStart} = await import('./measure.mjs');
if (cold) {
  try {
    globalThis.kept = await coldStart(env, cold);
    globalThis.cold = {ms: performance.now()};
  } catch (error) {
    globalThis.cold = {failure: String(error?.stack ?? error)};
  }
} else {
  globalThis.host = new Host(env);
}
