//! What drivers list, certificates name and people apply.

/// A field of a message: a number, or bytes after their length.
fn field(number: u8, value: u64, out: &mut Vec<u8>) {
    out.push(number << 3);
    varint(value, out);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// A GetMetadataDeltaResponse after its length.
fn message(style: u64, capacity: u64, ranges: &[(u64, u64)]) -> Vec<u8> {
    let mut body = Vec::new();
    field(1, style, &mut body);
    field(2, capacity, &mut body);
    for (offset, len) in ranges {
        let mut range = Vec::new();
        field(1, *offset, &mut range);
        field(2, *len, &mut range);
        body.push(3 << 3 | 2);
        varint(range.len() as u64, &mut body);
        body.extend(range);
    }
    let mut out = u16::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    out.extend(body);
    out
}

fn stream(device: u64, base: u64, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut out = [device.to_le_bytes(), base.to_le_bytes()].concat();
    out.extend(messages.concat());
    out
}

const FIXED: u64 = 1;
const VARIABLE: u64 = 2;

pub fn metadata() -> Vec<Vec<u8>> {
    let size = 1 << 30;
    vec![
        stream(size, size, &[message(VARIABLE, size, &[])]),
        stream(
            size,
            size / 2,
            &[
                message(
                    VARIABLE,
                    size,
                    &[(0, 4096), (4096, 512), (1 << 20, 1 << 20)],
                ),
                message(VARIABLE, size, &[(1 << 21, 100), ((1 << 30) - 5, 5)]),
            ],
        ),
        // The last range reaches over the end of the volume, which is no multiple of it.
        stream(
            1000,
            1000,
            &[message(FIXED, 1000, &[(0, 300), (300, 300), (900, 300)])],
        ),
    ]
}

pub fn names() -> Vec<Vec<u8>> {
    ["ferry://operator", "ferry://east/shop/orders.v2"]
        .map(|name| name.as_bytes().to_vec())
        .to_vec()
}

pub fn specs() -> Vec<Vec<u8>> {
    let json = r#"{"claimName":"orders","primary":"east","sites":[{"name":"east","storageClassName":"fast","volumeSnapshotClassName":null},{"name":"west"}],"mode":"Snapshot","snapshot":{"interval":"1h30m5s"},"quiesce":{"hooks":[{"podLabels":{"app":"db"},"container":"db","pre":["fsfreeze","-f","/data"],"post":["fsfreeze","-u","/data"],"timeoutSeconds":30,"onFailure":"Continue"}]},"transfer":{"bandwidth":"1.5Gi","compression":"zstd","stallTimeoutSeconds":60,"stateVolumeSize":"2Gi"},"application":{"apiVersion":"apps/v1","kind":"Deployment","name":"orders"},"syncTrigger":"now","paused":true,"deletionPolicy":"Delete"}"#;
    let yaml = "claimName: orders\nprimary: east\nsites:\n  - name: east\n  - name: west\n    storageClassName: &class fast\n    volumeSnapshotClassName: *class\nsnapshot:\n  interval: 30s\ntransfer:\n  compression: none\n  bandwidth: 200Mi\n";
    let small = r#"{"claimName":"a","primary":"a","sites":[{"name":"a"},{"name":"b"}]}"#;
    [json, yaml, small]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}
