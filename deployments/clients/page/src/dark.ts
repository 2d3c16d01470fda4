// Runs before anything is painted, so that a chosen theme does not flash in the other one's colours first.
import { applyTheme, storedTheme } from "./theme.js";

applyTheme(storedTheme());
