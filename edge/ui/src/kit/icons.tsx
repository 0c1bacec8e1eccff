// Drawn for us: 20 units, 1.5 stroke, no fill.
import type { ComponentChildren } from "preact";

interface IconProps {
  children: ComponentChildren;
  class?: string;
}

export function Icon({ children, class: extra = "" }: IconProps) {
  return (
    <svg
      class={`icon ${extra}`}
      viewBox="0 0 20 20"
      width="20"
      height="20"
      fill="none"
      stroke="currentColor"
      stroke-width="1.5"
      stroke-linecap="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const Mark = () => (
  <Icon>
    <path d="M4 3v14M4 5h9M4 10h12M4 15h6" stroke-width="1.8" stroke-linecap="butt" />
  </Icon>
);
export const Lines = () => (
  <Icon>
    <path d="M3 6h14M3 10h14M3 14h9" />
  </Icon>
);
export const Plus = () => (
  <Icon>
    <path d="M10 4v12M4 10h12" />
  </Icon>
);
export const Dots = () => (
  <Icon>
    <path d="M4.5 10h.01M10 10h.01M15.5 10h.01" stroke-width="2.4" />
  </Icon>
);
export const Cross = () => (
  <Icon>
    <path d="M5 5l10 10M15 5L5 15" />
  </Icon>
);
