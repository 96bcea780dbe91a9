// kimic as an npm user has it: one pack, experts called synchronously once they are loaded.
export async function create(env) {
  const {open} = await import(env.url('dist/index.js'));
  const packs = new Map();
  const packOf = file => {
    if (!packs.has(file)) packs.set(file, open(env.url(file)));
    return packs.get(file);
  };
  return {
    async open(network, x, rows, outputs) {
      const pack = await packOf('work/bench.kpk');
      const number = Object.keys(env.networks).indexOf(network);
      await pack.load(number, {pin: true});
      const options = {out: new Float32Array(rows * outputs)};
      return {
        run: () => pack.runSync(number, x, options),
        async loop(calls) {
          for (let i = 0; i < calls; i++) pack.runSync(number, x, options);
        },
      };
    },
    async openMixture(rows) {
      const pack = await packOf('work/mixture.kpk');
      await pack.load(Array.from({length: pack.info.experts}, (_, i) => i), {pin: true});
      return {
        async run(r) {
          const {choices, output} = await pack.runRouted(rows[r]);
          return {chosen: choices.map(choice => choice.expert), output};
        },
        async loop(calls) {
          for (let i = 0; i < calls; i++) await pack.runRouted(rows[i % rows.length]);
        },
      };
    },
    async close() {
      for (const pack of packs.values()) await (await pack).dispose();
    },
  };
}
