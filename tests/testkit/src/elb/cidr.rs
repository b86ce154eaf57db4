use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses such as `10.0.1.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    network: IpAddr,
    bits: u32,
}

impl Cidr {
    /// Whether `address` lies in this range; never true across address families.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.network.is_ipv4() == address.is_ipv4() && prefix(self.network, self.bits) == prefix(address, self.bits)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a CIDR such as 10.0.1.0/24");
        let (network, bits) = text.split_once('/').ok_or_else(wrong)?;
        let network: IpAddr = network.parse().map_err(|_| wrong())?;
        let bits: u32 = bits.parse().map_err(|_| wrong())?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        if bits > longest {
            return Err(wrong());
        }
        Ok(Self { network, bits })
    }
}

fn prefix(address: IpAddr, bits: u32) -> u128 {
    let left_aligned = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    left_aligned.checked_shr(128 - bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains() {
        for (cidr, address, expected) in [
            ("10.0.1.0/24", "10.0.1.255", true),
            ("10.0.1.0/24", "10.0.2.0", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("10.0.1.5/32", "10.0.1.5", true),
            ("fc00::/7", "fd12::1", true),
            ("fc00::/7", "fe80::1", false),
            ("::/0", "2600:1f18::1", true),
        ] {
            let cidr: Cidr = cidr.parse().expect("a CIDR of the table");
            let address = address.parse().expect("an address of the table");
            assert_eq!(cidr.contains(address), expected, "{address} in {cidr:?}");
        }
    }

    #[test]
    fn what_is_not_a_cidr_is_refused() {
        for text in ["10.0.0.0", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/x", ""] {
            assert!(text.parse::<Cidr>().is_err(), "{text:?}");
        }
    }
}
