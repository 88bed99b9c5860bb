// A ledger: std's collections and sorting monomorphized, closures, trait objects, panics, generics.
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

mod money {
    use std::ops::{Add, Neg};

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
    pub struct Cents(pub i64);

    impl Add for Cents {
        type Output = Cents;
        #[inline]
        fn add(self, other: Cents) -> Cents {
            Cents(self.0.checked_add(other.0).expect("overflow"))
        }
    }

    impl Neg for Cents {
        type Output = Cents;
        #[inline(always)]
        fn neg(self) -> Cents {
            Cents(-self.0)
        }
    }

    impl std::iter::Sum for Cents {
        fn sum<I: Iterator<Item = Cents>>(iter: I) -> Cents {
            iter.fold(Cents::default(), |a, b| a + b)
        }
    }
}

use money::Cents;

#[derive(Debug)]
enum LedgerError {
    Unknown(String),
    Overdrawn { account: String, missing: Cents },
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerError::Unknown(name) => write!(f, "no account {name}"),
            LedgerError::Overdrawn { account, missing } => write!(f, "{account} lacks {}", missing.0),
        }
    }
}

impl std::error::Error for LedgerError {}

trait Rule {
    fn allows(&self, balance: Cents, amount: Cents) -> bool;
    fn name(&self) -> String {
        String::from("rule")
    }
}

struct Limit(i64);
struct Any<F>(F);

impl Rule for Limit {
    fn allows(&self, balance: Cents, amount: Cents) -> bool {
        (balance + -amount).0 >= -self.0
    }
}

impl<F: Fn(i64) -> bool> Rule for Any<F> {
    fn allows(&self, _: Cents, amount: Cents) -> bool {
        (self.0)(amount.0)
    }
    fn name(&self) -> String {
        format!("any of {}", std::mem::size_of::<F>())
    }
}

#[derive(Default)]
struct Ledger {
    balances: BTreeMap<String, Cents>,
    history: VecDeque<(String, String, Cents)>,
    rules: Vec<Box<dyn Rule>>,
}

impl Ledger {
    fn pay(&mut self, from: &str, to: &str, amount: Cents) -> Result<(), Box<dyn std::error::Error>> {
        let balance = *self.balances.get(from).ok_or_else(|| LedgerError::Unknown(from.to_string()))?;
        if let Some(rule) = self.rules.iter().find(|rule| !rule.allows(balance, amount)) {
            let account = format!("{from} by {}", rule.name());
            return Err(Box::new(LedgerError::Overdrawn { account, missing: amount + -balance }));
        }
        *self.balances.entry(from.to_string()).or_default() = balance + -amount;
        let other = self.balances.entry(to.to_string()).or_default();
        *other = *other + amount;
        self.history.push_back((from.into(), to.into(), amount));
        if self.history.len() > 10 {
            self.history.pop_front();
        }
        Ok(())
    }

    fn largest(&self, count: usize) -> Vec<(&str, Cents)> {
        let mut all: Vec<_> = self.balances.iter().map(|(name, cents)| (name.as_str(), *cents)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        all.truncate(count);
        all
    }
}

fn main() {
    let mut ledger = Ledger::default();
    ledger.rules.push(Box::new(Limit(500)));
    ledger.rules.push(Box::new(Any(|amount| amount % 13 != 0)));
    for (i, name) in ["ada", "bob", "cy", "dee"].into_iter().enumerate() {
        ledger.balances.insert(name.to_string(), Cents(1000 * i as i64));
    }
    let mut errors: HashMap<String, usize> = HashMap::new();
    for i in 0..40i64 {
        let names = ["ada", "bob", "cy", "dee", "eve"];
        let from = names[(i % 5) as usize];
        let to = names[(i * 3 % 5) as usize];
        if let Err(error) = ledger.pay(from, to, Cents(i * 17)) {
            *errors.entry(error.to_string()).or_insert(0) += 1;
        }
    }
    let total: Cents = ledger.balances.values().copied().sum();
    let mut errors: Vec<_> = errors.into_iter().collect();
    errors.sort_unstable();
    println!("{total:?} {:?} {errors:?} {:?}", ledger.largest(3), ledger.history.iter().rev().next());
}
