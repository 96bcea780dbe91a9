// Node's own modules, for code that also runs where there is no Node.

interface NodeModules {
  'node:fs': typeof import('node:fs');
  'node:worker_threads': typeof import('node:worker_threads');
}

/**
 * A module of Node; undefined elsewhere. Without an import that bundlers for the web would stumble over: they leave a
 * specifier alone that is no literal. Node before 20.16 has no getBuiltinModule.
 */
export function nodeModule<Name extends keyof NodeModules>(name: Name): Promise<NodeModules[Name]> | undefined {
  const {process} = globalThis as {process?: NodeJS.Process};
  if (!process?.versions?.node) return undefined;
  return process.getBuiltinModule ? Promise.resolve(process.getBuiltinModule(name) as NodeModules[Name]) : import(name);
}
