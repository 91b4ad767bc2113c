/** Loaded before the program: from then on Node finds neither of the neural-network runtimes. */
import { register } from "node:module";

const hooks = `export function resolve(specifier, context, next) {
  if (!/^onnxruntime-(node|web)/.test(specifier)) return next(specifier, context);
  throw Object.assign(new Error("Cannot find package '" + specifier + "'"), { code: "ERR_MODULE_NOT_FOUND" });
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
