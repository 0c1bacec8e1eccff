//! Sums with `+ - * /`, parentheses and decimals; pure, exact, bounded.
//!
//! Values are fractions of two integers, so `0.1 + 0.2` is `0.3`. Invariant: no input panics,
//! overflows silently or recurses deeper than the bound; what does not fit is an error.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

const DEPTH_MAX: u32 = 32;
const DIGITS_MAX: u32 = 24;
/// Decimals shown of a value that has more.
const DECIMALS_MAX: usize = 12;
/// Bound of numerator and denominator: ten times this still fits into an `i128`.
const PART_MAX: u128 = 10_u128.pow(36);

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SumError {
    Malformed,
    DividedByZero,
    TooLarge,
}

/// A fraction in lowest terms with a positive denominator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fraction {
    numerator: i128,
    denominator: i128,
}

/// The value of an expression.
pub(super) fn evaluate(expression: &str) -> Result<Fraction, SumError> {
    let mut parser = Parser {
        chars: expression.chars().peekable(),
        depth: 0,
    };
    let value = parser.sum()?;
    match parser.next_symbol() {
        None => Ok(value),
        Some(_) => Err(SumError::Malformed),
    }
}

impl Fraction {
    fn new(numerator: i128, denominator: i128) -> Result<Self, SumError> {
        if denominator == 0 {
            return Err(SumError::DividedByZero);
        }
        let divisor = greatest_common_divisor(numerator.unsigned_abs(), denominator.unsigned_abs());
        let numerator_abs = numerator.unsigned_abs() / divisor;
        let denominator_abs = denominator.unsigned_abs() / divisor;
        if numerator_abs > PART_MAX || denominator_abs > PART_MAX {
            return Err(SumError::TooLarge);
        }
        let part = |abs: u128| i128::try_from(abs).map_err(|_| SumError::TooLarge);
        let negative = (numerator < 0) != (denominator < 0);
        let numerator = if negative {
            -part(numerator_abs)?
        } else {
            part(numerator_abs)?
        };
        Ok(Self {
            numerator,
            denominator: part(denominator_abs)?,
        })
    }

    fn plus(self, other: Self) -> Result<Self, SumError> {
        let left = times(self.numerator, other.denominator)?;
        let right = times(other.numerator, self.denominator)?;
        let numerator = left.checked_add(right).ok_or(SumError::TooLarge)?;
        Self::new(numerator, times(self.denominator, other.denominator)?)
    }

    fn times(self, other: Self) -> Result<Self, SumError> {
        let numerator = times(self.numerator, other.numerator)?;
        Self::new(numerator, times(self.denominator, other.denominator)?)
    }

    fn negated(self) -> Self {
        Self {
            numerator: -self.numerator,
            ..self
        }
    }

    fn inverted(self) -> Result<Self, SumError> {
        Self::new(self.denominator, self.numerator)
    }

    /// The value in decimals, and whether that is all of it.
    fn decimal(self) -> (String, bool) {
        let divisor = self.denominator.unsigned_abs();
        let abs = self.numerator.unsigned_abs();
        let (mut whole, mut rest) = (abs / divisor, abs % divisor);
        let mut decimals: u128 = 0;
        for _ in 0..DECIMALS_MAX {
            rest *= 10;
            decimals = decimals * 10 + rest / divisor;
            rest %= divisor;
        }
        let exact = rest == 0;
        if rest * 2 >= divisor {
            decimals += 1;
            whole += decimals / 10_u128.pow(12);
            decimals %= 10_u128.pow(12);
        }
        let digits = format!("{decimals:0DECIMALS_MAX$}");
        let text = format!("{whole}.{}", digits.trim_end_matches('0'));
        let text = text.trim_end_matches('.');
        let sign = if self.numerator < 0 && text != "0" {
            "-"
        } else {
            ""
        };
        (format!("{sign}{text}"), exact)
    }
}

/// `= 0.3` or `≈ 0.333333333333`.
impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, exact) = self.decimal();
        write!(f, "{} {text}", if exact { '=' } else { '≈' })
    }
}

fn times(left: i128, right: i128) -> Result<i128, SumError> {
    left.checked_mul(right).ok_or(SumError::TooLarge)
}

fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

/// Recursive descent: `sum = product {(+|-) product}`, `product = factor {(*|/) factor}`,
/// `factor = (+|-) factor | ( sum ) | number`.
struct Parser<'a> {
    chars: Peekable<Chars<'a>>,
    depth: u32,
}

impl Parser<'_> {
    fn sum(&mut self) -> Result<Fraction, SumError> {
        let mut value = self.product()?;
        while let Some(sign @ ('+' | '-')) = self.peek_symbol() {
            self.next_symbol();
            let right = self.product()?;
            value = value.plus(if sign == '-' { right.negated() } else { right })?;
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<Fraction, SumError> {
        let mut value = self.factor()?;
        while let Some(sign @ ('*' | '/')) = self.peek_symbol() {
            self.next_symbol();
            let right = self.factor()?;
            value = value.times(if sign == '/' {
                right.inverted()?
            } else {
                right
            })?;
        }
        Ok(value)
    }

    fn factor(&mut self) -> Result<Fraction, SumError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(SumError::TooLarge);
        }
        let value = match self.peek_symbol() {
            Some('-') => {
                self.next_symbol();
                self.factor()?.negated()
            }
            Some('+') => {
                self.next_symbol();
                self.factor()?
            }
            Some('(') => {
                self.next_symbol();
                let value = self.sum()?;
                if self.next_symbol() != Some(')') {
                    return Err(SumError::Malformed);
                }
                value
            }
            _ => self.number()?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn number(&mut self) -> Result<Fraction, SumError> {
        let (mut digits, mut decimals, mut point) = (0_u32, 0_u32, false);
        let mut value: i128 = 0;
        loop {
            let next = self.chars.peek().copied();
            if let Some(digit) = next.and_then(|c| c.to_digit(10)) {
                digits += 1;
                if digits > DIGITS_MAX {
                    return Err(SumError::TooLarge);
                }
                value = value * 10 + i128::from(digit);
                decimals += u32::from(point);
            } else if next == Some('.') && !point {
                point = true;
            } else {
                break;
            }
            self.chars.next();
        }
        if digits == 0 {
            return Err(SumError::Malformed);
        }
        Fraction::new(value, 10_i128.pow(decimals))
    }

    fn peek_symbol(&mut self) -> Option<char> {
        while self.chars.next_if(|c| c.is_whitespace()).is_some() {}
        self.chars.peek().map(|c| plain(*c))
    }

    fn next_symbol(&mut self) -> Option<char> {
        let symbol = self.peek_symbol();
        self.chars.next();
        symbol
    }
}

/// The keyboard's spelling of a symbol.
fn plain(symbol: char) -> char {
    match symbol {
        '×' | '＊' => '*',
        '÷' | '／' => '/',
        '−' | '－' => '-',
        '＋' => '+',
        '（' => '(',
        '）' => ')',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(expression: &str, expected: &str) {
        let shown = match evaluate(expression) {
            Ok(value) => value.to_string(),
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(shown, expected, "{expression}");
    }

    #[test]
    fn sums_follow_the_usual_rules() {
        check("2+2", "= 4");
        check("2 + 3 * 4", "= 14");
        check("(2 + 3) * 4", "= 20");
        check("10 - 4 - 3", "= 3");
        check("100 / 10 / 5", "= 2");
        check("-(2 - 5) * -+2", "= -6");
        check("（1＋2）×3÷4 − 1", "= 1.25");
        check(".5 + 1.", "= 1.5");
        check("0 / -5", "= 0");
    }

    #[test]
    fn decimals_are_exact_or_marked_as_rounded() {
        check("0.1 + 0.2", "= 0.3");
        check("1/3", "≈ 0.333333333333");
        check("-2/3", "≈ -0.666666666667");
        check("0.9999999999999", "≈ 1");
        check("-1/1000000000000000", "≈ 0");
        check("1/8", "= 0.125");
        check("123456789 * 987654321", "= 121932631112635269");
    }

    #[test]
    fn what_has_no_value_says_why() {
        for malformed in [
            "", "+", "2+", "(2", "2)", "2 2", "1.2.3", ".", "2**3", "two",
        ] {
            check(malformed, "Malformed");
        }
        check("1/0", "DividedByZero");
        check("1/(2-2)", "DividedByZero");
        check(&format!("{}1", "9".repeat(24)), "TooLarge");
        check(&["999999999999999999999999"; 4].join("*"), "TooLarge");
        check(&"(".repeat(1000), "TooLarge");
        check(&format!("{}1", "-".repeat(1000)), "TooLarge");
        check(&["(1)"; 60].join("+"), "= 60");
    }

    proptest! {
        #[test]
        fn no_input_panics(expression in "[-+*/().0-9 ×÷a]{0,120}") {
            if let Ok(value) = evaluate(&expression) {
                prop_assert!(value.denominator > 0);
                prop_assert!(!value.to_string().is_empty());
            }
        }

        #[test]
        fn sums_agree_with_integers(a in -99_999_i64..99_999, b in 1_i64..99_999, c in -99_i64..99) {
            let expression = format!("({a}) + {b} * ({c}) - {a}/{b}*{b}");
            let expected = format!("= {}", b * c);
            prop_assert_eq!(evaluate(&expression).unwrap().to_string(), expected);
        }
    }
}
