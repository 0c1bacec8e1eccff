import { type Key, t } from "../i18n";

const KNOWN: Record<string, [name: Key, text: Key]> = {
  "operator.read": ["scope.read", "scope.readText"],
  "operator.write": ["scope.write", "scope.writeText"],
  "operator.admin": ["scope.admin", "scope.adminText"],
  "operator.approvals": ["scope.approvals", "scope.approvalsText"],
  "operator.pairing": ["scope.pairing", "scope.pairingText"],
};

export function scopeName(scope: string): string {
  const known = KNOWN[scope];
  return known ? t(known[0]) : scope;
}

export function ScopeTags({ scopes }: { scopes: readonly string[] }) {
  return (
    <span class="tags">
      {scopes.map((scope) => (
        <span class="tag" key={scope}>
          {scopeName(scope)}
        </span>
      ))}
    </span>
  );
}

interface ChoiceProps {
  asked: readonly string[];
  chosen: readonly string[];
  onChange(next: readonly string[]): void;
}

/** What was asked for, to be narrowed but never widened. */
export function ScopeChoice({ asked, chosen, onChange }: ChoiceProps) {
  const toggle = (scope: string, on: boolean) =>
    onChange(asked.filter((one) => (one === scope ? on : chosen.includes(one))));
  return (
    <ul class="scopes">
      {asked.map((scope) => (
        <li key={scope}>
          <label>
            <input
              type="checkbox"
              checked={chosen.includes(scope)}
              onChange={(event) => toggle(scope, event.currentTarget.checked)}
            />
            <span>
              {scopeName(scope)} <span class="sub">{description(scope)}</span>
            </span>
          </label>
        </li>
      ))}
    </ul>
  );
}

function description(scope: string): string {
  const known = KNOWN[scope];
  return known ? t(known[1]) : "";
}
