// The environment of measure.mjs and the peers in a page. With ?cold=PEER it starts that peer and tells how long after
// the navigation its first outputs were there; with ?kernels it is that of kernelHost.mjs.
const env = {
  ...(location.search === '?kernels' ? {} : await (await fetch('/work/networks/networks.json')).json()),
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
const query = new URLSearchParams(location.search);
const cold = query.get('cold');
if (query.has('kernels')) {
  const {KernelHost} = await import('./kernelHost.mjs');
  globalThis.host = new KernelHost(env);
} else if (cold) {
  const {coldStart} = await import('./measure.mjs');
  try {
    globalThis.kept = await coldStart(env, cold);
    globalThis.cold = {ms: performance.now()};
  } catch (error) {
    globalThis.cold = {failure: String(error?.stack ?? error)};
  }
} else {
  const {Host} = await import('./measure.mjs');
  globalThis.host = new Host(env);
}
