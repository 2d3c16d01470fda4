import { count } from "../figure.js";

interface Props {
  total: number;
  completed: number;
  failed: number;
  label: string;
}

/** How far a batch is: what has an answer, what has failed, what is to come. */
export function Progress({ total, completed, failed, label }: Props) {
  const part = (n: number) => `${total > 0 ? Math.min(100, n * 100 / total) : 0}%`;
  return (
    <div
      class="progress" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={total} aria-valuenow={completed + failed}
      aria-valuetext={`${count(completed)} answered and ${count(failed)} failed of ${count(total)}`}
    >
      <div class="progress-good" style={{ width: part(completed) }} />
      <div class="progress-bad" style={{ width: part(failed) }} />
    </div>
  );
}
