import { describe, expect, it } from "vitest";
import { renderPage } from "../../src/report/page.js";
import { drawLines, standaloneSvg } from "../../src/report/plot.js";

const names = ["first <&>", "second", "third"];
const plot = {
  description: "what it shows",
  x: { label: "x" },
  y: { label: "y" },
  series: names.map((name, k) => ({
    name,
    points: [0, 1, 2].map((x) => ({ x, y: 1 + x + k / 1000 })),
  })),
  references: [{ name: "target", y: 3 }],
};
const svg = drawLines(plot);

/** The labels at the right, with their heights. */
function labels(text: string): { name: string; y: number }[] {
  return [
    ...text.matchAll(
      /<g aria-label="text"[^>]*transform="translate\([^,]+,([^)]+)\)"[^>]*>(.*?)<\/g>/g,
    ),
  ].map(([, y, inner = ""]) => ({
    name: inner
      .replace(/<[^>]*>/g, "")
      .replace(/&lt;/g, "<")
      .replace(/&gt;/g, ">")
      .replace(/&amp;/g, "&"),
    y: Number(y),
  }));
}

describe("drawLines", () => {
  it("labels every line and reference at its end", () => {
    expect(
      labels(svg)
        .map(({ name }) => name)
        .sort(),
    ).toEqual([...names, "target"].sort());
  });

  it("keeps labels of lines that end at the same height apart, in the order of the lines", () => {
    const heights = labels(svg)
      .filter(({ name }) => names.includes(name))
      .sort((a, b) => a.y - b.y);
    expect(heights.map(({ name }) => name)).toEqual(names.toReversed());
    heights.forEach(({ y }, i) => {
      const above = heights[i - 1];
      if (above !== undefined) expect(y - above.y).toBeGreaterThan(14);
    });
  });

  it("draws one line and three symbols for each series, in colours that a page can set", () => {
    expect(svg.match(/<g aria-label="line"/g)).toHaveLength(3);
    for (const k of [0, 1, 2]) expect(svg).toContain(`var(--series-${k}, #`);
    const groups = [...svg.matchAll(/<g aria-label="dot"[^>]*>(.*?)<\/g>/g)];
    expect(groups.map(([, inner = ""]) => inner.match(/<(circle|path)/g)?.length)).toEqual([
      3, 3, 3,
    ]);
  });

  it("says what it shows to those who cannot see it", () => {
    expect(svg).toContain("<title>what it shows</title>");
  });

  it("stands alone without variables", () => {
    const alone = standaloneSvg(svg);
    expect(alone).not.toContain("var(");
    expect(alone).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  });
});

describe("renderPage", () => {
  it("needs no other file and lets no text through as markup", () => {
    const page = renderPage({
      title: "a <b> & c",
      blocks: [
        { kind: "text", text: "<script>" },
        { kind: "figure", svg, caption: "a figure" },
        { kind: "table", title: "t", note: "n", columns: ["x"], rows: [["<td>"]] },
      ],
      footer: "end",
    });
    expect(page).not.toMatch(/<script|<link|src=|@import|url\(/);
    expect(page).toContain("a &lt;b&gt; &amp; c");
    expect(page).toContain("&lt;td&gt;");
    expect(page).toContain("prefers-color-scheme: dark");
  });
});
