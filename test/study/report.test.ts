import { describe, expect, it } from "vitest";
import { studyPage } from "../../src/study/report.js";
import { sampleResults } from "./sample.js";

const page = studyPage(sampleResults({ seeds: [1, 2] }));

/** The figures of the page by the titles that screen readers are given; swatches of legends left out. */
const titles = [...page.matchAll(/<svg [^>]*width="(\d+)"[^>]*><title>([^<]*)<\/title>/g)].flatMap(
  ([, width, title]) => (Number(width) > 100 ? [title ?? ""] : []),
);

describe("studyPage", () => {
  it("has every figure", () => {
    const count = (start: string) => titles.filter((title) => title.startsWith(start)).length;
    // For wide and narrow screens.
    expect(count("Accuracy of merged models, mean over the tasks")).toBe(2);
    for (const task of ["imdb", "amazon", "yelp"]) {
      expect(count(`Accuracy of merged models, on ${task}`)).toBe(1);
    }
    expect(count("Test error of every merge against its gradient mismatch")).toBe(2);
    for (const method of ["gradient matching", "task arithmetic", "Fisher, with base"]) {
      expect(count(`Logarithm of the gradient mismatch of ${method}`)).toBe(1);
    }
    expect(count("Accuracy on yelp against accuracy on everything else")).toBe(1);
  });

  it("draws a point for every figure", () => {
    const scatter = page.slice(page.indexOf("<title>Test error of every merge"));
    const svg = scatter.slice(0, scatter.indexOf("</svg>"));
    const symbols = [...svg.matchAll(/aria-label="dot"[^>]*>([^]*?)<\/g>/g)].map(
      ([, group]) => group?.match(/<(path|circle)/g)?.length,
    );
    // Three methods at four α and two without, each with two seeds.
    expect(symbols.reduce<number>((sum, n = 0) => sum + n, 0)).toBe(2 * (3 * 4 + 2));
  });

  it("has a table for every figure, and the recipe of everything", () => {
    for (const title of [
      "Mean accuracy by α",
      "How much a method depends on α",
      "Accuracy by task",
      "Gradient mismatch by merge",
      "Removal of yelp",
      "Models",
    ]) {
      expect(page).toContain(`<h2>${title}</h2>`);
    }
    expect(page).toContain("recipes/gradient_matching-0.5.yaml");
  });

  it("needs nothing from elsewhere, and runs no scripts", () => {
    const links = page.matchAll(/(?:src|href|url)\s*[=(]\s*["']?([^"')>\s]+)/g);
    expect([...links].map(([, target]) => target).filter((one) => !one?.startsWith("#"))).toEqual(
      [],
    );
    expect(
      page.match(/https?:\/\/[^"'\s<]+/g)?.filter((url) => !url.startsWith("http://www.w3.org/")),
    ).toEqual([]);
    expect(page).not.toMatch(/<script/i);
    expect(page).toContain("&lt;script&gt;alert(1)&lt;/script&gt;");
  });

  it("has no numbers that are none", () => {
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("leaves out what a study does not have", () => {
    const results = sampleResults();
    const bare = studyPage({
      ...results,
      merges: [],
      rows: results.rows.filter(({ method }) => method === "base" || method === "linear"),
    });
    expect(bare).not.toMatch(/NaN|undefined|Infinity/);
    expect(bare).not.toContain("Accuracy against α");
    expect(bare).not.toContain("Removal");
    expect(bare).toContain("Accuracy by task");
  });
});
