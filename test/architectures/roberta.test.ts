import { roberta } from "../../src/architectures/roberta.js";
import { goldenNames, testGoldens } from "./support.js";

testGoldens(roberta, goldenNames("roberta-"));
