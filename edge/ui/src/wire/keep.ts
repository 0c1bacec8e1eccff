// What this browser remembers. Storage may be full or forbidden; losing it must never stop a page.

export function recall(key: string, area: "local" | "session" = "local"): string | null {
  try {
    return shelf(area).getItem(key);
  } catch {
    return null;
  }
}

/** Answers whether it was kept. `null` forgets. */
export function remember(
  key: string,
  value: string | null,
  area: "local" | "session" = "local",
): boolean {
  try {
    if (value === null) shelf(area).removeItem(key);
    else shelf(area).setItem(key, value);
    return true;
  } catch {
    return false;
  }
}

export function recallJson<T>(key: string): T | null {
  const text = recall(key);
  if (text === null) return null;
  try {
    return JSON.parse(text) as T;
  } catch {
    return null;
  }
}

function shelf(area: "local" | "session"): Storage {
  return area === "local" ? localStorage : sessionStorage;
}
