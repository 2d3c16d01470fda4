/** The gate and the water behind it. */
export function Mark({ size = 28 }: { size?: number }) {
  return (
    <svg class="mark" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" />
      <rect class="plate" x="11.2" y="5.5" width="9.6" height="9" rx="1.8" />
      <path class="post" d="M7.5 6v9.5M24.5 6v9.5" />
      <path class="water" d="M5.5 20c3.5-3.4 7 3.4 10.5 0s7 3.4 10.5 0M5.5 25.5c3.5-3.4 7 3.4 10.5 0s7 3.4 10.5 0" />
    </svg>
  );
}
