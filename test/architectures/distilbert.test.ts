import { distilbert } from "../../src/architectures/distilbert.js";
import { goldenNames, testGoldens } from "./support.js";

testGoldens(distilbert, goldenNames("distilbert-"));
