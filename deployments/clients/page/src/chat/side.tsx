export function ChatSide() {
  return null;
}
