/** A cell of a table: text, or a figure with its spread, which stands smaller, and whether it is the best of its column. */
export type Cell =
  | string
  | { readonly text: string; readonly spread?: string | undefined; readonly best?: boolean };

/** The words of a cell, for tables without type. */
export function cellText(cell: Cell): string {
  if (typeof cell === "string") return cell;
  return cell.spread === undefined ? cell.text : `${cell.text} ± ${cell.spread}`;
}

/** Tells the smallest of some values, where there are several to choose from. */
export function leastOf(
  values: readonly (number | undefined)[],
): (value: number | undefined) => boolean {
  const known = values.flatMap((value) => value ?? []);
  const least = Math.min(...known);
  return (value) => known.length > 1 && value === least;
}
