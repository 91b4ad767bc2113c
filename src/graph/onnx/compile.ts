import { GraphError } from "../../errors.js";
import { inputName } from "../operators/input.js";
import type { Tensor } from "../tensor.js";
import { Emitter } from "./emit.js";
import { inOrder } from "../order.js";

/** A graph as an ONNX model, with the inputs that it really reads. */
export interface CompiledGraph {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly inputs: readonly { readonly name: string; readonly tensor: Tensor }[];
  readonly outputs: readonly { readonly name: string; readonly tensor: Tensor }[];
}

/**
 * Writes the graph that computes the named outputs as an ONNX model.
 * Nodes stand in the order in which their tensors were made, which is that of forward and then backward pass:
 * the runtime follows it, and so does the life of its buffers.
 * @throws GraphError where two different inputs, or an input and an output, have one name.
 */
export function compileGraph(outputs: Readonly<Record<string, Tensor>>): CompiledGraph {
  const named = Object.entries(outputs).map(([name, tensor]) => ({ name, tensor }));
  const order = inOrder(named.map(({ tensor }) => tensor));
  const emitter = new Emitter();
  const names = new Map<Tensor, string>();
  const inputs: { name: string; tensor: Tensor }[] = [];
  for (const tensor of order) {
    const input = inputName(tensor);
    if (input !== undefined) {
      if (inputs.some(({ name }) => name === input) || input in outputs) {
        throw new GraphError({ what: "two values of a graph have one name", where: input });
      }
      inputs.push({ name: input, tensor });
    }
    names.set(
      tensor,
      tensor.operator.emit(
        emitter,
        tensor,
        tensor.inputs.map((one) => nameOf(names, one)),
      ),
    );
  }
  for (const { name, tensor } of named) emitter.rename(nameOf(names, tensor), name);
  return { bytes: emitter.finish(inputs, named), inputs, outputs: named };
}

function nameOf(names: ReadonlyMap<Tensor, string>, tensor: Tensor): string {
  const name = names.get(tensor);
  if (name === undefined) {
    throw new GraphError({
      what: "a tensor is read before it is made",
      where: tensor.operator.name,
    });
  }
  return name;
}
