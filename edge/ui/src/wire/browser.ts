/** "Chrome on Linux": enough for a person to know which of their devices is asking. */
export function browserName(userAgent: string): string {
  return `${brand(userAgent)} on ${system(userAgent)}`;
}

export function platformName(userAgent: string): string {
  return system(userAgent).toLowerCase();
}

const BRANDS: [RegExp, string][] = [
  [/Edg(e|A|iOS)?\//, "Edge"],
  [/OPR\//, "Opera"],
  [/Firefox\/|FxiOS\//, "Firefox"],
  [/MicroMessenger\//, "WeChat"],
  [/Chrome\/|CriOS\//, "Chrome"],
  [/Safari\//, "Safari"],
];

const SYSTEMS: [RegExp, string][] = [
  [/iPhone/, "iPhone"],
  [/iPad/, "iPad"],
  [/Android/, "Android"],
  [/CrOS/, "ChromeOS"],
  [/Mac OS X|Macintosh/, "Mac"],
  [/Windows/, "Windows"],
  [/Linux/, "Linux"],
];

function brand(userAgent: string): string {
  return BRANDS.find(([pattern]) => pattern.test(userAgent))?.[1] ?? "Browser";
}

function system(userAgent: string): string {
  return SYSTEMS.find(([pattern]) => pattern.test(userAgent))?.[1] ?? "unknown system";
}
