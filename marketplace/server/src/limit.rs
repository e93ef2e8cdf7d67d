//! How often one caller may ask for what costs much.

use axum::http::HeaderMap;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// How often who may ask, and whom a request is from.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) limiter: Arc<Limiter>,
    proxies: Arc<[IpAddr]>,
}

impl Limits {
    pub(crate) fn new(per_second: u32, proxies: Vec<IpAddr>) -> Self {
        let limiter = Limiter::new(per_second.saturating_mul(10), per_second.max(1).into());
        Self { limiter: Arc::new(limiter), proxies: proxies.into_iter().map(|proxy| proxy.to_canonical()).collect() }
    }

    /// Whom a request is from: the connection's other end, or whom a trusted proxy there names. Of several names the
    /// last one that is no proxy of ours counts: those before it can be made up by anybody.
    pub(crate) fn from(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        // A listener for both families names IPv4 peers as mapped IPv6.
        let peer = peer.to_canonical();
        if !self.proxies.contains(&peer) {
            return peer;
        }
        let values = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let named: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        let mut named = named.into_iter().rev().map_while(|name| Some(name.parse::<IpAddr>().ok()?.to_canonical()));
        named.find(|address| !self.proxies.contains(address)).unwrap_or(peer)
    }
}

/// One caller as far as an address tells: whoever has one IPv6 address has all of its /64.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// A bucket a caller: so many at once, so many a second in the long run.
#[derive(Debug)]
pub(crate) struct Limiter {
    burst: f64,
    per_second: f64,
    buckets: Mutex<HashMap<String, (f64, Instant)>>,
}

/// Callers remembered; beyond that those whose bucket is full are forgotten.
const MOST: usize = 10_000;

impl Limiter {
    pub(crate) fn new(burst: u32, per_second: f64) -> Self {
        Self { burst: burst.into(), per_second, buckets: Mutex::default() }
    }

    /// Counts a request, or says after how many seconds to come again.
    pub(crate) fn pass(&self, who: &str) -> Result<(), u64> {
        self.pass_at(who, Instant::now())
    }

    fn pass_at(&self, who: &str, now: Instant) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = |(left, at): (f64, Instant)| {
            (left + now.saturating_duration_since(at).as_secs_f64() * self.per_second).min(self.burst)
        };
        if buckets.len() >= MOST {
            buckets.retain(|_, bucket| filled(*bucket) < self.burst);
        }
        let left = buckets.get(who).map_or(self.burst, |bucket| filled(*bucket));
        if left < 1.0 {
            return Err(((1.0 - left) / self.per_second).ceil() as u64);
        }
        buckets.insert(who.to_owned(), (left - 1.0, now));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_a_trusted_proxy_says_whom_a_request_is_from() {
        let address = |text: &str| text.parse::<IpAddr>().expect("address");
        let (proxy, person, stranger) = (address("10.0.0.1"), address("192.0.2.7"), address("198.51.100.9"));
        let limits = Limits::new(1, vec![proxy]);
        let named = |text: &str| {
            HeaderMap::from_iter([("x-forwarded-for".parse().expect("name"), text.parse().expect("value"))])
        };

        assert_eq!(limits.from(stranger, &named("192.0.2.7")), stranger);
        assert_eq!(limits.from(proxy, &named("192.0.2.7")), person);
        assert_eq!(limits.from(proxy, &named("203.0.113.1, 192.0.2.7, 10.0.0.1")), person);
        for made_up in ["", "nobody", "192.0.2.7, nobody"] {
            assert_eq!(limits.from(proxy, &named(made_up)), proxy);
        }
        assert_eq!(limits.from(proxy, &HeaderMap::new()), proxy);
        assert_eq!(limits.from(address("::ffff:10.0.0.1"), &named("::ffff:192.0.2.7")), person);
    }

    #[test]
    fn whoever_has_one_ipv6_address_has_its_whole_network() {
        let of = |text: &str| neighbourhood(text.parse().expect("address")).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let (limiter, now) = (Limiter::new(3, 0.5), Instant::now());
        for _ in 0..3 {
            assert_eq!(limiter.pass_at("a", now), Ok(()));
        }
        assert_eq!(limiter.pass_at("a", now), Err(2));
        assert_eq!(limiter.pass_at("b", now), Ok(()));
        assert_eq!(limiter.pass_at("a", now + Duration::from_secs(2)), Ok(()));
    }
}
