// Overwritten by build.mjs with the base64 of kimic_parts.wasm.
export const wasmBase64: string = '';
