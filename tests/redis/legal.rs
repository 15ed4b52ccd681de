//! Legal traffic over two replicas: the next request of a flow goes to the other one, and nothing is refused.

use crate::replicas::site;
use crate::windows::legal::test_legal_flows;

test_legal_flows!(site);
