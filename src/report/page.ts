import { COLOURS, escapeText } from "./plot.js";

/** A page of text, figures and tables in one file. */
export interface Page {
  readonly title: string;
  readonly blocks: readonly Block[];
  readonly footer: string;
}

export type Block =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "figure"; readonly svg: string; readonly caption: string }
  | {
      readonly kind: "table";
      readonly title: string;
      readonly note: string;
      readonly columns: readonly string[];
      readonly rows: readonly (readonly string[])[];
    };

/** The same hues on a dark ground, lighter. */
const LIGHTER = ["#4aa8e8", "#ff8a4c", "#3ed0a4", "#e7a3cb", "#f2b84b", "#8fd0f5", "#b0b0b0"];

/** HTML that needs no other file and no script: readable on a light and a dark ground, and in print. */
export function renderPage({ title, blocks, footer }: Page): string {
  const variables = (colours: readonly string[]) =>
    colours.map((colour, k) => `--series-${k}: ${colour};`).join(" ");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(title)}</title>
<style>
:root { color-scheme: light dark; ${variables(COLOURS)} }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1.25rem; color: #1b1b1b; background: #fff; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0.25rem; }
figure { margin: 2rem 0; }
figure svg { max-width: 100%; height: auto; }
figcaption, .note, footer { color: #555; font-size: 0.9rem; }
.note { margin: 0 0 0.75rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.9rem 0.3rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; font-weight: normal; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #999; }
footer { margin-top: 3rem; border-top: 1px solid #ddd; padding-top: 0.75rem; }
@media screen and (prefers-color-scheme: dark) {
  :root { ${variables(LIGHTER)} }
  body { color: #e6e6e6; background: #16181c; }
  figcaption, .note, footer { color: #a8a8a8; }
  th, td, footer { border-color: #3a3d44; }
}
@media print {
  body { margin: 0; max-width: none; font-size: 11pt; }
  figure, table { break-inside: avoid; }
}
</style>
</head>
<body>
<h1>${escapeText(title)}</h1>
${blocks.map(renderBlock).join("\n")}
<footer>${escapeText(footer)}</footer>
</body>
</html>
`;
}

function renderBlock(block: Block): string {
  switch (block.kind) {
    case "text":
      return `<p>${escapeText(block.text)}</p>`;
    case "figure":
      return `<figure>\n${block.svg}\n<figcaption>${escapeText(block.caption)}</figcaption>\n</figure>`;
    case "table": {
      const [head, ...rest] = block.columns.map(
        (column) => `<th scope="col">${escapeText(column)}</th>`,
      );
      const rows = block.rows.map(([first = "", ...cells]) => {
        const others = cells.map((cell) => `<td>${escapeText(cell)}</td>`).join("");
        return `<tr><th scope="row">${escapeText(first)}</th>${others}</tr>`;
      });
      return `<h2>${escapeText(block.title)}</h2>
<p class="note">${escapeText(block.note)}</p>
<div class="scroll"><table>
<thead><tr>${head ?? ""}${rest.join("")}</tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table></div>`;
    }
  }
}
