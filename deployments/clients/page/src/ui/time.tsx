import { signal } from "@preact/signals";

/** The present, as far as relative times need it: it moves every half minute. */
const now = signal(Date.now());
setInterval(() => { now.value = Date.now(); }, 30_000);

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
const day = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const exact = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

/** A time (RFC 3339 or milliseconds) as a person says it: now, 5 min. ago, yesterday, 3 Mar. */
export function Time({ at }: { at: string | number }) {
  const when = new Date(at);
  if (Number.isNaN(when.getTime())) return null;
  return <time dateTime={when.toISOString()} title={exact.format(when)}>{said(when.getTime(), Math.max(now.value, Date.now()))}</time>;
}

function said(at: number, present: number): string {
  const minutes = Math.floor((present - at) / 60_000);
  if (minutes < 1) return "now";
  if (minutes < 60) return relative.format(-minutes, "minute");
  if (minutes < 24 * 60) return relative.format(-Math.floor(minutes / 60), "hour");
  if (minutes < 7 * 24 * 60) return relative.format(-Math.floor(minutes / 60 / 24), "day");
  return day.format(at);
}
