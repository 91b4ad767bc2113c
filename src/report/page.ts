import { COLOURS, escapeText } from "./plot.js";

/** A page of text, figures and tables in one file. */
export interface Page {
  readonly title: string;
  readonly blocks: readonly Block[];
  readonly footer: string;
}

/** What a colour and a symbol stand for: a small picture and its name. */
export interface LegendEntry {
  readonly svg: string;
  readonly name: string;
}

export type Block =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "heading"; readonly text: string }
  | { readonly kind: "list"; readonly items: readonly string[] }
  | {
      readonly kind: "figure";
      readonly svg: string;
      readonly caption: string;
      /** In its place on narrow screens; with a legend of its own for labels that it has no room for. */
      readonly narrow?: { readonly svg: string; readonly legend?: readonly LegendEntry[] };
      readonly legend?: readonly LegendEntry[];
    }
  /** Small figures side by side, as many as there is room for. */
  | {
      readonly kind: "figures";
      readonly items: readonly { readonly title: string; readonly svg: string }[];
      readonly legend: readonly LegendEntry[];
      readonly caption: string;
    }
  /** Text as it was written, which opens on demand and is open in print. */
  | { readonly kind: "code"; readonly title: string; readonly text: string }
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
h2.section { font-size: 1.3rem; margin: 3rem 0 0.5rem; }
.narrow { display: none; }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; list-style: none; margin: 0.5rem 0; padding: 0; font-size: 0.9rem; }
.legend li { display: flex; align-items: center; gap: 0.4rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1.25rem 1rem; }
.figures h3 { font-size: 0.95rem; margin: 0 0 0.25rem; }
li { margin: 0.35rem 0; }
pre { overflow-x: auto; font-size: 0.85rem; line-height: 1.4; padding: 0.75rem; background: #f4f4f4; }
summary { cursor: pointer; }
@media screen and (max-width: 40rem) {
  body { margin: 1.25rem auto; }
  .wide { display: none; }
  .narrow { display: block; }
  th, td { padding-right: 0.6rem; font-size: 0.9rem; }
}
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
  pre { background: #22252b; }
}
@media print {
  body { margin: 0; max-width: none; font-size: 11pt; }
  figure, table, .figures > div { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll, pre { overflow: visible; }
  table { font-size: 9pt; }
  th, td { padding-right: 0.5rem; }
  pre { white-space: pre-wrap; background: none; border: 1px solid #ddd; }
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
    case "heading":
      return `<h2 class="section">${escapeText(block.text)}</h2>`;
    case "list":
      return `<ul>\n${block.items.map((item) => `<li>${escapeText(item)}</li>`).join("\n")}\n</ul>`;
    case "figure": {
      const { svg, narrow, caption, legend = [] } = block;
      const drawn =
        narrow === undefined
          ? svg
          : `<div class="wide">${svg}</div>\n<div class="narrow">${renderLegend(narrow.legend ?? [])}\n${narrow.svg}</div>`;
      return `<figure>\n${renderLegend(legend)}\n${drawn}\n<figcaption>${escapeText(caption)}</figcaption>\n</figure>`;
    }
    case "figures": {
      const items = block.items.map(
        ({ title, svg }) => `<div><h3>${escapeText(title)}</h3>\n${svg}</div>`,
      );
      return `<figure>\n${renderLegend(block.legend)}\n<div class="figures">\n${items.join("\n")}\n</div>\n<figcaption>${escapeText(block.caption)}</figcaption>\n</figure>`;
    }
    case "code":
      return `<details>\n<summary>${escapeText(block.title)}</summary>\n<pre>${escapeText(block.text)}</pre>\n</details>`;
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

function renderLegend(entries: readonly LegendEntry[]): string {
  if (entries.length === 0) return "";
  const items = entries.map(({ svg, name }) => `<li>${svg}${escapeText(name)}</li>`);
  return `<ul class="legend">${items.join("")}</ul>`;
}
