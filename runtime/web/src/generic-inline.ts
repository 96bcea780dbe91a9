// Overwritten by build.mjs with the base64 of kimic_generic.wasm.
export const wasmBase64: string = '';
