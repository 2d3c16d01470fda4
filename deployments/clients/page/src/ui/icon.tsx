/** Shapes on a 24 × 24 grid, drawn with a stroke of the text's colour. */
const shapes = {
  plus: "M12 5v14M5 12h14",
  search: "M11 19a8 8 0 1 1 0-16 8 8 0 0 1 0 16ZM21 21l-4.3-4.3",
  menu: "M4 6h16M4 12h16M4 18h16",
  close: "M6 6l12 12M18 6 6 18",
  send: "M12 19V5M5.5 11.5 12 5l6.5 6.5",
  stop: "M6.5 6.5h11v11h-11Z",
  copy: "M9 9h11v11H9ZM5 15H4V4h11v1",
  check: "M4.5 12.5 10 18 20 6.5",
  redo: "M20 11a8 8 0 1 0-2 6.3M20 4v7h-7",
  edit: "M4 20h4L19.5 8.5a2.8 2.8 0 0 0-4-4L4 16ZM13.5 6.5l4 4",
  up: "M7 10v11M2.5 10H7v11H2.5ZM7 11l4.2-8a2.6 2.6 0 0 1 2.5 3.2L13 9h6a2 2 0 0 1 2 2.4l-1.6 7.8A2.2 2.2 0 0 1 17.2 21H7",
  down: "M17 14V3M21.5 14H17V3h4.5ZM17 13l-4.2 8a2.6 2.6 0 0 1-2.5-3.2L11 15H5a2 2 0 0 1-2-2.4l1.6-7.8A2.2 2.2 0 0 1 6.8 3H17",
  left: "M14.5 6 8.5 12l6 6",
  right: "M9.5 6l6 6-6 6",
  bottom: "M12 5v14M6 13l6 6 6-6",
  tune: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  clone: "M8 8h12v12H8ZM16 8V4H4v12h4M14 11.5v5M11.5 14h5",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 2.5v2M12 19.5v2M4.5 4.5l1.5 1.5M18 18l1.5 1.5M2.5 12h2M19.5 12h2M4.5 19.5 6 18M18 6l1.5-1.5",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z",
  auto: "M3 5h18v11H3ZM8 20h8M12 16v4",
  help: "M9.2 9a3 3 0 1 1 4.3 2.7c-1 .5-1.5 1.1-1.5 2.3M12 17.5h.01M12 22a10 10 0 1 1 0-20 10 10 0 0 1 0 20Z",
  out: "M10 4H5v16h5M15 8l4 4-4 4M19 12H9",
  chat: "M4 5h16v11H10l-5 4v-4H4Z",
  batch: "M4 5h16M4 10h16M4 15h10M4 20h6",
  system: "M3 12h4l3-8 4 16 3-8h4",
  retry: "M4 12a8 8 0 0 1 13.7-5.6L20 8.5M20 3.5v5h-5M20 12a8 8 0 0 1-13.7 5.6L4 15.5M4 20.5v-5h5",
  alert: "M12 3 2 20.5h20ZM12 10v4.5M12 17.5h.01",
  spark: "M12 3l1.8 5.2L19 10l-5.2 1.8L12 17l-1.8-5.2L5 10l5.2-1.8ZM19 16v4M17 18h4",
  upload: "M12 16V4M6.5 9.5 12 4l5.5 5.5M4 20h16",
  download: "M12 4v12M6.5 10.5 12 16l5.5-5.5M4 20h16",
  pause: "M8 5v14M16 5v14",
  play: "M7 4.5v15L19 12Z",
} as const;

export type IconName = keyof typeof shapes;

/** Says nothing to a screen reader: what it stands in has a name. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={shapes[name]} />
    </svg>
  );
}
