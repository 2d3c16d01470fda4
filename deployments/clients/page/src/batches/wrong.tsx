/** What is wrong with a field, below it. */
export function Wrong({ id, text }: { id: string; text: string }) {
  return <small id={id} class="wrong" role="alert">{text}</small>;
}
