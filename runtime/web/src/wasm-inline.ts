// Overwritten by build.mjs with the base64 of kimic_rt.wasm.
export const wasmBase64: string = '';
