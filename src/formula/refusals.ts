import type { MaskNode, ValueNode } from "./nodes.js";

/** A refusal taken apart: it happens where any of these holds. */
export interface RefusalTerms {
  /** Where one of these values is infinite or NaN. */
  readonly notFinite: ReadonlySet<ValueNode>;
  /** Where one of these values is below 0; all of them are among `notFinite` as well. */
  readonly negative: ReadonlySet<ValueNode>;
  /** Where one of these masks is true, or false. */
  readonly others: readonly { readonly mask: MaskNode; readonly refused: boolean }[];
}

/**
 * Takes a mask apart along its "or"s. Most refusals say that a number must be finite, or finite and at least 0,
 * for which codes and bits have tests far cheaper than the comparisons of the formula.
 */
export function refusalTerms(mask: MaskNode): RefusalTerms {
  const notFinite = new Set<ValueNode>();
  const negative = new Set<ValueNode>();
  const others: { mask: MaskNode; refused: boolean }[] = [];

  const visit = (node: MaskNode, refused: boolean): void => {
    if (node.kind === "not") visit(node.x, !refused);
    else if (node.kind === "logic" && (node.op === "or") === refused) {
      visit(node.x, refused);
      visit(node.y, refused);
    } else if (node.kind === "finite" && !refused) notFinite.add(node.x);
    else others.push({ mask: node, refused });
  };
  visit(mask, true);

  const rest = others.filter(({ mask: node, refused }) => {
    const isAtLeastZero =
      !refused &&
      node.kind === "compare" &&
      node.op === "lessOrEqual" &&
      node.x.kind === "constant" &&
      node.x.value === 0 &&
      notFinite.has(node.y);
    if (isAtLeastZero) negative.add(node.y);
    return !isAtLeastZero;
  });
  return { notFinite, negative, others: rest };
}
