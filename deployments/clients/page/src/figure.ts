// How figures are shown to a person, everywhere in the same way.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, notation: "compact" });

/** 1234567 as 1,234,567. */
export function count(n: number): string {
  return whole.format(n);
}

/** 1234567 as 1.23M, for where there is little room. */
export function brief(n: number): string {
  return n !== 0 && Math.abs(n) < 0.01 ? "0.01" : short.format(n);
}

/** One thing or several, with their number: plural(2, "line") is 2 lines. */
export function plural(n: number, one: string, many = one + "s"): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** 1500000 as 1.5 MB. */
export function bytes(n: number): string {
  const units = ["bytes", "kB", "MB", "GB"];
  let at = 0;
  while (n >= 1_000 && at < units.length - 1) {
    n /= 1_000;
    at++;
  }
  return `${at === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[at]}`;
}

/** Seconds as 0.42 s, 45 s, 3 min 20 s, 2 h 5 min or 3 d 4 h. */
export function span(seconds: number): string {
  if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`;
  const steps: [number, string][] = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  const first = steps.findIndex(([size]) => seconds >= size);
  let left = Math.round(seconds);
  const parts: string[] = [];
  for (const [size, unit] of steps.slice(first, first + 2)) {
    const n = Math.floor(left / size);
    left -= n * size;
    if (n > 0) parts.push(`${n} ${unit}`);
  }
  return parts.join(" ");
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** A time of today as 14:05:06, another as 3 May, 14:05. */
export function moment(at: Date): string {
  return at.toDateString() === new Date().toDateString() ? clock.format(at) : day.format(at);
}

/** How long ago, as 5 s ago. What is ahead, by a clock that differs, is now. */
export function ago(at: Date, now = Date.now()): string {
  const seconds = Math.floor((now - at.getTime()) / 1_000);
  return seconds < 1 ? "now" : `${span(seconds)} ago`;
}
