//! Modaliases as real machines have them: those of QEMU's, and thousands in the shapes of all buses.

use std::collections::BTreeSet;

/// What QEMU's q35 machine of the tests shows under Linux 6.1, and how many of its devices do.
const QEMU: &[(&str, usize)] = &[
    ("acpi:ACPI0010:PNP0A05:", 1),
    ("acpi:LNXCPU:", 2),
    ("acpi:LNXPWRBN:", 1),
    ("acpi:LNXSYBUS:", 2),
    ("acpi:LNXSYSTM:", 1),
    ("acpi:PNP0103:", 2),
    ("acpi:PNP0303:", 1),
    ("acpi:PNP0501:", 2),
    ("acpi:PNP0A06:", 3),
    ("acpi:PNP0A08:PNP0A03:", 1),
    ("acpi:PNP0B00:", 1),
    ("acpi:PNP0C01:", 1),
    ("acpi:PNP0C0F:", 16),
    ("acpi:PNP0F13:", 1),
    ("acpi:QEMU0002:", 2),
    (
        "cpu:type:x86,ven0002fam000Fmod006B:feature:,0000,0002,0003,0004,0005,0006,0007,0008,0009,000B,000C,000D,000E,000F,\
         0010,0011,0013,0016,0017,0018,0019,001A,001B,001C,0020,0022,0023,0024,0025,0026,0027,0028,0029,002B,002C,002D,002E,\
         002F,0030,0031,0034,0036,0037,0038,003A,003B,003D,003E,003F,0064,006E,0070,0072,0074,0075,0079,007A,0080,0081,0083,\
         0089,008C,008D,0093,0094,0096,0097,0099,009A,009B,009C,009D,009E,009F,00C0,00C1,00C2,00C4,00C5,00C6,00C8,00ED,00F3,\
         010F,0120,0123,0125,0127,0128,0129,012E,0133,0134,0136,0137,0138,0140,0142,0165,016C,01C2,01E0,01F0,01FC,0202,0203,\
         0204,0209,0210,021F",
        1,
    ),
    (
        "dmi:bvnSeaBIOS:bvr1.16.2-debian-1.16.2-1:bd04/01/2014:br0.0:svnQEMU:pnStandardPC(Q35+ICH9,2009):pvrpc-q35-7.2:cvnQEMU:\
         ct1:cvrpc-q35-7.2:sku:",
        1,
    ),
    ("pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", 1),
    ("pci:v00008086d00002918sv00001AF4sd00001100bc06sc01i00", 1),
    ("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", 1),
    ("pci:v00008086d00002930sv00001AF4sd00001100bc0Csc05i00", 1),
    ("pci:v00008086d000029C0sv00001AF4sd00001100bc06sc00i00", 1),
    ("platform:alarmtimer", 1),
    ("platform:i8042", 1),
    ("platform:pcspkr", 1),
    ("platform:platform-framebuffer", 1),
    ("platform:reg-dummy", 1),
    ("platform:serial8250", 1),
    ("serio:ty01pr00id00ex00", 1),
    ("serio:ty06pr00id00ex00", 1),
    ("virtio:d00000002v00001AF4", 1),
];

/// Every modalias that a coldplug of QEMU's machine meets, as often as it does.
pub fn qemu() -> Vec<String> {
    let repeat = |(text, times): &(&str, usize)| vec![(*text).to_owned(); *times];
    QEMU.iter().flat_map(repeat).collect()
}

/// Vendors and their devices; some are disk controllers, of those that drivers name one by one.
const PCI: &[(&str, &str)] = &[
    (
        "8086",
        "2922 2829 1C02 3A22 8C02 9D03 A182 A352 02D3 43D3 7AE2 A0D3 0953 F1A5 F1A8 1D6B 10D3 1533 15B8 A2AF 1E31 9D2F 34D8 9B33",
    ),
    (
        "1022",
        "7901 7801 43B7 43C8 43BD 7814 7906 145C 149C 1639 790B 43D5",
    ),
    ("10DE", "0266 036E 037E 03F6 055C 0AB8 0BC7 0D88 1C82 1EB8"),
    (
        "1000",
        "0030 0050 0054 0058 0062 0072 0086 0097 00AC 005B 005D 005F 0014 0016 10E2 00E6 0411 0413",
    ),
    ("103C", "3230 323A 3239 333F 3354 1920"),
    ("9005", "028F 0285 0286 028B 028C 028D 0800 0080 8017 041F"),
    (
        "1AF4",
        "1000 1001 1002 1003 1004 1005 1009 1041 1042 1043 1044 1048 1052",
    ),
    ("1B36", "0001 0005 0007 0008 000D 0010 0011 0100"),
    ("15AD", "07C0 0405 0740 0774 0779 07B0 07E0 07F0"),
    ("1414", "5353 00A9 B111"),
    ("1D0F", "8061 EC20 CD31 0065"),
    ("1AE0", "001F 0042"),
    ("144D", "A802 A804 A808 A809 A80A A824"),
    ("15B7", "5001 5006 5009 501A"),
    ("1C5C", "1327 1639 174A 2849"),
    ("1179", "0115 010F 0113"),
    ("1987", "5012 5016 5018"),
    ("126F", "2262 2263 2265"),
    ("106B", "2001 2003 2005 0027"),
    ("197B", "2360 2361 2362 2363 2366 2368 0585 2380 2381"),
    (
        "1B4B",
        "9120 9172 9183 9192 91A3 9215 9230 9235 9485 6121 0640",
    ),
    (
        "1B21",
        "0611 0612 0622 1062 1064 1166 1042 1142 1242 2142 3241",
    ),
    ("1106", "3149 3249 3349 5337 0591 6287 3483 3432"),
    ("1039", "0180 0182 1184 5513 7001"),
    ("1095", "3112 3114 3124 3132 3512 3531 0680"),
    ("1166", "0240 0241 024A 0213 0408"),
    ("13C1", "1001 1002 1003 1004 1005"),
    ("17D3", "1110 1120 1170 1210 1280 1680 1880"),
    ("1103", "0004 0008 2720 2722 4520 3220"),
    ("1077", "2432 2532 2031 2071 2261 2281 4022 8032 1216"),
    ("10DF", "F100 E200 E300 F400 0720"),
    ("19A2", "0212 0702 0712 0222"),
    ("1217", "8320 8321 8520 8620 7120 8420"),
    ("1180", "0822 0843 E822 E823 0476"),
    ("10EC", "5209 5227 5229 525A 5260 5287 8168"),
    ("104C", "8033 803B 8034 8241"),
    ("1912", "0014 0015"),
    ("1033", "0194 00E0 0035"),
    ("1234", "1111"),
    ("FFFF", "FFFF"),
];

/// Class, subclass and programming interface.
const PCI_CLASSES: &str = "010601 010802 010400 010700 010107 01018A 010185 010180 010000 010020 010105 080501 080500 0C0330 \
    0C0320 0C0310 0C0300 060400 060100 020000 030000 0C0500 0C0400 0C0340 FF0000";

/// Vendor and product; from keyboards to disks, bridges and card readers.
const USB: &str = "1D6B0001 1D6B0002 1D6B0003 07815581 07815567 09511666 0951162B 0BC22312 0BC2AB34 0BC23320 152D0578 152D2329 \
    152D0539 174C55AA 174C5136 174C1153 21090715 04E84001 04E861F5 10580748 105825E1 059F1061 0BDA0129 0BDA9210 0BDA0306 \
    046DC31C 046DC52B 046D082D 045E0745 045E028E 05AC0250 05AC024F 05AC1261 04B30003 05E30749 05E30610 14CD1212 14CD6116 \
    067B2303 067B2775 04210019 03F00107 03F04002 054C0010 054C002D 054C02A5 05DC0001 057B0000 08BDA2A5 0DD80060 0EA02168 \
    13FD0840 13FD3940 1BCF0C31 357D7788 4971CE07 049F505E 04830307 06440000 0FCED008 22B80803 19D21224 12D11446 0AF06971 FFFFFFFF";

/// Class, subclass and protocol of an interface.
const USB_CLASSES: &str = "080650 080662 080250 080550 080400 0806FF 030101 030102 030000 090000 090001 0A0000 020201 020600 \
    0E0100 010100 FF0000 FF5D01 E00101 FEFF00 0801FF FF0650";

const HID: &str = "046D:C52B 046D:C534 046D:4024 045E:07A5 045E:028E 05AC:0250 05AC:024F 05AC:0267 04F3:0103 04D9:1503 17EF:6009 \
    0458:0138 056E:00FB 054C:05C4 057E:2009 06CB:2968 0627:0001 18D1:5028 04B4:0001 1532:010E 0001:0001";

const ACPI: &str = "PNP0A08:PNP0A03 PNP0303 PNP0F13 PNP0F03 PNP0C0A PNP0C0C PNP0C0D PNP0C0E PNP0C14 PNP0C50 PNP0C60 PNP0D40 \
    PNP0D80 PNP0103 PNP0200 PNP0501 PNP0B00 ACPI0003 ACPI0007 ACPI0008 ACPI000C ACPI000E LNXPWRBN LNXSYSTM LNXTHERM LNXVIDEO \
    QEMU0002 QEMUVGID VMBUS MSFT0101 MSFT1000 INT33A1 INT33BB INT33C0 INT33C2 INT344D INT3400 INT3403 INT3450 INT34BB \
    INTC1040 80860F0A 80860F14 80860F14:PNP0D40 80860F16 80860F41 8086228A 808622C1 80865ACA AMDI0010 AMDI0020 AMDI0030 \
    AMDI0040 AMDI0060 AMD0020 AMDIF031 APMC0D0D APMC0D33 CAV9007 BRCM2EA6 BRCM2EA7 HISI0031 HISI0161 HISI0162 LNRO0005 \
    NVDA0513 NXP0003 QCOM2430 QCOM24A5 QCOM24BF SYN1219 ELAN0501 ELAN0600 WCOM4801 ATML1000 GDIX1001 IBM0068 LEN0071 ASUS2018 \
    TOS1900 SNY5001 FUJ02B1 DELL0767:PNP0C50 SYNA2B2C:PNP0C50 XXXX0000:PNP0C50:ACPI0C50 80860F28 10EC5640 ESSX8316";

const PLATFORM: &str = "i8042 ahci ahci-imx sdhci sdhci_pltfm sdhci-pxav3 sdhci-arasan sdhci-acpi xhci-hcd xhci_hcd dwc3 \
    dwc3-haps ehci-platform ohci-platform musb-hdrc chipidea isp1760 rtc_cmos pcspkr serial8250 efi-framebuffer \
    simple-framebuffer vesa-framebuffer platform-framebuffer reg-dummy alarmtimer coretemp intel_rapl_msr iTCO_wdt wdat_wdt \
    efivars rtc-efi tpm_tis gpio-keys leds-gpio dw_mmc dwmmc_pltfm rtsx_pci_sdmmc rtsx_pci_ms rtsx_usb_sdmmc rtsx_usb_ms \
    mmc_spi pata_platform pata_of_platform cs5535-mfd physmap-flash hid-sensor-hub HID-SENSOR-200041 HID-SENSOR-2000e1 \
    cros-ec-keyb cros_ec_spi intel_pmc_core acpi-cpufreq pcc_cpufreq vmclock nothing-of-the-kind";

/// Machine-independent requests and buses with few names.
const OTHERS: &str = "mmc:block mmc:unknown nvme nvme-core nvme-fabrics nvmet-transport-1 nvmet-transport-3 nvmet-transport-254 \
    nvme-transport-tcp scsi-hostadapter vmbus:d96361baa104294db60572e2ffb1dc7f vmbus:32264132cb86a2449b5c50d1417354f5 \
    vmbus:9eb6cfb3a4b54b4f9e2f6f4d8f9d9a00 vmbus:6dad12f9172bea48bd65f927a61c7684 vmbus:4acc9b2f6900f34ab76b6fd0be528cda \
    xen:vbd xen:vif xen:vkbd xen:vfb xen:vscsi xen-backend:vbd xen-backend:vscsi fs-btrfs fs-overlay fs-squashfs fs-ext4 fs-none \
    crypto-sha256 crypto-sha256-all crypto-crc32c crypto-xxhash64 crypto-blake2b-256 dm-verity dm-raid md-raid1 md-level-5 \
    block-major-7-0 block-major-179-1 block-major-8-16 char-major-10-237 char-major-10-236 char-major-10-234 \
    devname:loop-control devname:mapper/control devname:btrfs-control nd:t4 wmi:05901221-D566-11D1-B2F0-00A0C9062910 \
    rapidio:vFFFFdFFFFavFFFFadFFFF i2c:ssif_bmc spi:spidev eisa:sADP7770 pnp:dPNP0303 ieee1394:ven00000000mo00000000sp0000609Ever00010483";

/// Pseudo-random choices that are the same on every machine: a xorshift sequence.
struct Dice(u64);

impl Dice {
    /// Below `limit`.
    fn roll(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.roll(list.len())]
    }

    fn word<'a>(&mut self, list: &'a str) -> &'a str {
        let words: Vec<&str> = list.split_whitespace().collect();
        words[self.roll(words.len())]
    }
}

/// `count` different modaliases of every bus: devices that drivers name, devices of classes that drivers serve, and devices
/// that no driver knows. The first of 10,000 are those of 1,000.
pub fn many(count: usize) -> Vec<String> {
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    let mut seen = BTreeSet::new();
    std::iter::repeat_with(|| one(&mut dice))
        .filter(|text| seen.insert(text.clone()))
        .take(count)
        .collect()
}

/// A bus by weight, as a machine's devices spread over them; the small ones run out of names.
fn one(dice: &mut Dice) -> String {
    match dice.roll(100) {
        0..35 => pci(dice),
        35..65 => usb(dice),
        65..75 => acpi(dice),
        75..83 => hid(dice),
        83..87 => sdio(dice),
        87..89 => format!(
            "virtio:d{:08X}v{}",
            dice.roll(48),
            dice.one_of(&["00001AF4", "0000554D"])
        ),
        89..90 => format!("scsi:t-0x{:02x}", dice.roll(32)),
        90..91 => serio(dice),
        91..93 => format!("platform:{}", dice.word(PLATFORM)),
        93..95 => cpu(dice),
        95..97 => dmi(dice),
        97..98 => input(dice),
        _ => dice.word(OTHERS).to_owned(),
    }
}

fn pci(dice: &mut Dice) -> String {
    let (vendor, devices) = dice.one_of(PCI);
    let device = dice.word(devices);
    let (subvendor, _) = dice.one_of(PCI);
    let subdevice = dice.roll(0x40) * 0x111;
    let (class, rest) = dice.word(PCI_CLASSES).split_at(2);
    let (subclass, interface) = rest.split_at(2);
    format!(
        "pci:v0000{vendor}d0000{device}sv0000{subvendor}sd{subdevice:08X}bc{class}sc{subclass}i{interface}"
    )
}

fn usb(dice: &mut Dice) -> String {
    let (vendor, product) = dice.word(USB).split_at(4);
    // Releases are binary-coded decimal, mostly; the ranges of quirks end at such numbers.
    let release = [
        "0000", "0100", "0110", "0200", "0300", "0450", "0592", "0999", "1000", "1234", "2A0B",
        "9999",
    ];
    let release = dice.one_of(&release);
    let (class, rest) = dice.word(USB_CLASSES).split_at(2);
    let (subclass, protocol) = rest.split_at(2);
    let own = dice.one_of(&[
        "dc00dsc00dp00",
        "dcEFdsc02dp01",
        "dc09dsc00dp03",
        "dcFFdscFFdpFF",
    ]);
    let number = dice.roll(4);
    format!(
        "usb:v{vendor}p{product}d{release}{own}ic{class}isc{subclass}ip{protocol}in{number:02X}"
    )
}

/// Identifiers of one device, or of one device and those that it is compatible with.
fn acpi(dice: &mut Dice) -> String {
    let first = dice.word(ACPI);
    match dice.roll(3) {
        0 => format!("acpi:{first}:"),
        1 => format!("acpi:{first}:{}:", dice.word(ACPI)),
        _ => format!(
            "acpi:{}{:04X}:",
            first.get(..3).unwrap_or(first),
            dice.roll(0x10000)
        ),
    }
}

fn hid(dice: &mut Dice) -> String {
    let (vendor, product) = dice.word(HID).split_once(':').unwrap_or_default();
    let bus = dice.one_of(&["0003", "0005", "0018", "0006", "001E"]);
    let group = dice.one_of(&[
        "0000", "0001", "0002", "0003", "0004", "0100", "0101", "0102", "0103",
    ]);
    format!("hid:b{bus}g{group}v0000{vendor}p0000{product}")
}

fn sdio(dice: &mut Dice) -> String {
    let vendor = dice.one_of(&["02D0", "0271", "02DF", "024C", "0097", "037A"]);
    format!(
        "sdio:c{:02X}v{vendor}d{:04X}",
        dice.roll(10),
        0x4300 + dice.roll(0x80)
    )
}

fn serio(dice: &mut Dice) -> String {
    format!(
        "serio:ty{:02X}pr{:02X}id00ex00",
        dice.roll(8),
        dice.roll(0x42)
    )
}

/// Each processor with some of the features that crypto modules ask for.
fn cpu(dice: &mut Dice) -> String {
    let vendor = dice.one_of(&["0000", "0002", "0009"]);
    let (family, model) = (dice.one_of(&[6, 0xF, 0x17, 0x19]), dice.roll(0xA0));
    let mut features = String::from(",");
    for feature in [
        "0000", "0001", "0017", "0019", "001A", "0081", "0089", "0093", "0094", "0097", "0099",
        "009C", "0125", "0130", "013D",
    ] {
        if dice.roll(4) != 0 {
            features += feature;
            features.push(',');
        }
    }
    format!(
        "cpu:type:x86,ven{vendor}fam{family:04X}mod{model:04X}:feature:{}",
        features.trim_end_matches(',')
    )
}

fn dmi(dice: &mut Dice) -> String {
    let maker = dice.word("DellInc. LENOVO HP ASUSTeKCOMPUTERINC. Supermicro QEMU VMware,Inc. MicrosoftCorporation GoogleInc. AppleInc.");
    let model = dice.word("ThinkPadX1 Latitude7490 ProLiantDL380Gen10 VirtualMachine StandardPC Surface MacBookPro16,1 SYS-5019");
    let (day, version) = (1 + dice.roll(28), dice.roll(40));
    format!(
        "dmi:bvn{maker}:bvr1.{version}:bd03/{day:02}/2021:br1.{version}:svn{maker}:pn{model}:pvr:rvn{maker}:rn:rvr:cvn{maker}:ct10:cvr:sku:"
    )
}

fn input(dice: &mut Dice) -> String {
    let events = dice.one_of(&[
        "e0,1,4,11,14,k71,72,ram4,l0,1,2,sfw",
        "e0,1,2,4,k110,111,112,r0,1,8,am4,lsfw",
        "e0,3,kra0,1,18,mlsfw",
        "e0,5,kramlsfw0",
    ]);
    format!(
        "input:b{:04X}v{:04X}p{:04X}e{:04X}-{events}",
        dice.roll(0x20),
        dice.roll(0x500),
        dice.roll(0x100),
        dice.roll(0x200)
    )
}

#[cfg(test)]
mod tests {
    use super::{many, qemu};

    #[test]
    fn every_bus_is_there_and_nothing_twice() {
        let all = many(5000);
        assert_eq!(all.len(), 5000);
        for bus in [
            "pci:v",
            "usb:v",
            "acpi:",
            "virtio:d",
            "scsi:t-0x",
            "hid:b",
            "mmc:",
            "nvme",
            "platform:",
        ] {
            let count = all.iter().filter(|text| text.starts_with(bus)).count();
            assert!(count > 0, "{bus}");
        }
        let mut sorted = all.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), all.len());
        assert_eq!(all[..1000], many(1000));
        assert_eq!(qemu().len(), 53);
    }
}
