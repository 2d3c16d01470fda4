import type { ComponentChildren } from "preact";

interface Props {
  caption: string;
  /** The columns; wide takes what room there is, number stands at the right. */
  heads: readonly { name: string; kind?: "wide" | "number" }[];
  testId: string;
  /** Its rows. */
  children: ComponentChildren;
}

/** A table that scrolls for itself where it has no room. */
export function Grid({ caption, heads, testId, children }: Props) {
  return (
    <div class="table-scroll" role="region" aria-label={caption} tabIndex={0}>
      <table class="grid" data-testid={testId}>
        <caption>{caption}</caption>
        <thead><tr>{heads.map(({ name, kind }) => <th key={name} scope="col" class={kind}>{name}</th>)}</tr></thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
