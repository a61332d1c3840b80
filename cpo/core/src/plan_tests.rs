//! One Service from its first plan to its last.

use super::*;

#[path = "plan_tests/order.rs"]
mod order;
