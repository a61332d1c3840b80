use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::*;

/// What must never be repeated.
const SECRET: &str = "S3cretValue";

/// A self-signed certificate and its key, PEM.
fn certificate() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["kube".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2031, 5, 6);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A good kubeconfig with a client certificate.
fn good() -> Value {
    let (certificate, key) = certificate();
    json!({
        "apiVersion": "v1", "kind": "Config", "preferences": {},
        "clusters": [{"name": "c", "cluster": {
            "server": "https://203.0.113.5:6443",
            "certificate-authority-data": STANDARD.encode(&certificate),
        }}],
        "users": [{"name": "u", "user": {
            "client-certificate-data": STANDARD.encode(&certificate),
            "client-key-data": STANDARD.encode(&key),
        }}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    })
}

fn with_token() -> Value {
    let mut config = good();
    config["users"][0]["user"] = json!({"token": SECRET});
    config
}

fn read(config: &Value) -> Result<Kubeconfig, KubeconfigError> {
    parse(config.to_string().as_bytes())
}

/// The refusal of a good kubeconfig after a change; it never repeats the secret.
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let mut config = good();
    change(&mut config);
    let error = read(&config).expect_err("refused").to_string();
    assert!(!error.contains(SECRET), "{error}");
    error
}

#[test]
fn a_client_certificate_is_read_with_its_expiry() {
    let kubeconfig = read(&good()).unwrap();
    assert_eq!(kubeconfig.server, Server { host: "203.0.113.5".into(), port: 6443 });
    assert!(kubeconfig.authority.starts_with("-----BEGIN CERTIFICATE"));
    assert_eq!(kubeconfig.expires.unwrap().to_string(), "2031-05-06T00:00:00Z");
    let Identity::Certificate { key, .. } = &kubeconfig.identity else { panic!("a certificate") };
    assert!(key.expose_secret().contains("PRIVATE KEY"));
}

#[test]
fn a_token_is_read() {
    let kubeconfig = read(&with_token()).unwrap();
    let Identity::Token(token) = &kubeconfig.identity else { panic!("a token") };
    assert_eq!(token.expose_secret(), SECRET);
    assert_eq!(kubeconfig.expires, None);
}

#[test]
fn yaml_as_kubectl_writes_it_is_read() {
    let config = good();
    let of = |path: &str| config.pointer(path).unwrap().as_str().unwrap().to_owned();
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    certificate-authority-data: {}\n    \
         server: https://api.tenant.example\n  name: c\ncontexts:\n- context:\n    cluster: c\n    \
         user: u\n  name: u@c\ncurrent-context: u@c\npreferences: {{}}\nusers:\n- name: u\n  user:\n    \
         token: abc\n",
        of("/clusters/0/cluster/certificate-authority-data"),
    );
    let kubeconfig = parse(text.as_bytes()).unwrap();
    assert_eq!(kubeconfig.server, Server { host: "api.tenant.example".into(), port: 443 });
}

#[test]
fn secrets_are_not_shown_by_debug() {
    let shown = format!("{:?}", read(&with_token()).unwrap());
    assert!(!shown.contains(SECRET), "{shown}");
    let shown = format!("{:?}", read(&good()).unwrap());
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
}

#[test]
fn every_field_that_runs_reads_or_redirects_is_refused_by_name() {
    let of_user = [
        ("exec", json!({"command": SECRET, "apiVersion": "client.authentication.k8s.io/v1"})),
        ("auth-provider", json!({"name": SECRET})),
        ("tokenFile", json!(SECRET)),
        ("client-certificate", json!(SECRET)),
        ("client-key", json!(SECRET)),
        ("username", json!(SECRET)),
        ("password", json!(SECRET)),
        ("as", json!(SECRET)),
        ("as-uid", json!(SECRET)),
        ("as-groups", json!([SECRET])),
        ("as-user-extra", json!({"x": [SECRET]})),
    ];
    for (field, value) in of_user {
        let error = refusal(|c| c["users"][0]["user"][field] = value);
        assert!(error.contains(&format!("users[0].user.{field} is not accepted")), "{error}");
    }
    let of_cluster = [
        ("proxy-url", json!(format!("http://{SECRET}"))),
        ("insecure-skip-tls-verify", json!(true)),
        ("insecure-skip-tls-verify", json!(false)),
        ("certificate-authority", json!(SECRET)),
        ("tls-server-name", json!(SECRET)),
        ("disable-compression", json!(true)),
        ("extensions", json!([{"name": SECRET}])),
    ];
    for (field, value) in of_cluster {
        let error = refusal(|c| c["clusters"][0]["cluster"][field] = value);
        assert!(error.contains(&format!("clusters[0].cluster.{field} is not accepted")), "{error}");
    }
    let error = refusal(|c| c["extensions"] = json!([SECRET]));
    assert!(error.contains("extensions is not accepted"), "{error}");
    let error = refusal(|c| c["contexts"][0]["context"]["extensions"] = json!(SECRET));
    assert!(error.contains("contexts[0].context.extensions"), "{error}");
    let error = refusal(|c| c["users"][0]["token"] = json!(SECRET));
    assert!(error.contains("users[0].token"), "{error}");
    let error = refusal(|c| c["preferences"]["colors"] = json!(SECRET));
    assert!(error.contains("preferences.colors"), "{error}");
}

#[test]
fn one_cluster_one_user_and_one_context_are_demanded() {
    for list in ["clusters", "users", "contexts"] {
        let error = refusal(|c| {
            let first = c[list][0].clone();
            c[list].as_array_mut().unwrap().push(first);
        });
        assert!(error.starts_with(list), "{error}");
        assert!(refusal(|c| c[list] = json!([])).starts_with(list));
        assert!(refusal(|c| c[list] = json!(SECRET)).starts_with(list));
        assert!(refusal(|c| c[list] = json!([SECRET])).starts_with(list));
    }
}

#[test]
fn names_must_refer_to_what_is_there() {
    let error = refusal(|c| c["current-context"] = json!(SECRET));
    assert!(error.contains("current-context"), "{error}");
    let error = refusal(|c| c["contexts"][0]["context"]["cluster"] = json!(SECRET));
    assert!(error.contains("contexts[0].context.cluster"), "{error}");
    let error = refusal(|c| c["contexts"][0]["context"]["user"] = json!(SECRET));
    assert!(error.contains("contexts[0].context.user"), "{error}");
}

#[test]
fn only_https_servers_that_may_be_connected_to_are_taken() {
    for server in [
        "http://203.0.113.5",
        "203.0.113.5",
        "https://",
        "https://:6443",
        "https://u:p@203.0.113.5",
        "https://203.0.113.5/path",
        "https://203.0.113.5?q",
        "https://203.0.113.5:0",
        "https://203.0.113.5:65536",
        "https://203.0.113.5:x",
        "https://203.0.113.5:",
        "unix:///run/x",
        "https://127.0.0.1:6443",
        "https://127.9.9.9",
        "https://localhost:6443",
        "https://LOCALHOST",
        "https://169.254.169.254",
        "https://0.0.0.0",
        "https://224.0.0.1",
        "https://255.255.255.255",
        "https://[::1]:6443",
        "https://[::]",
        "https://[fe80::1]",
        "https://[::ffff:127.0.0.1]",
        "https://[::ffff:169.254.169.254]:443",
        "https://[fd00:ec2::254]",
        "https://2130706433",
        "https://127.1",
        "https://203.0.113.5\n",
        "https://localhost.:6443",
        "https://x.localhost",
    ] {
        let error = refusal(|c| c["clusters"][0]["cluster"]["server"] = json!(server));
        assert!(error.contains("clusters[0].cluster.server"), "{server}: {error}");
    }
    for (server, host, port) in [
        ("https://203.0.113.5", "203.0.113.5", 443),
        ("https://api.example:8443/", "api.example", 8443),
        ("https://[2001:db8::1]:6443", "2001:db8::1", 6443),
        ("https://[2001:db8::1]", "2001:db8::1", 443),
    ] {
        let mut config = good();
        config["clusters"][0]["cluster"]["server"] = json!(server);
        assert_eq!(read(&config).unwrap().server, Server { host: host.into(), port }, "{server}");
    }
}

#[test]
fn credentials_that_cannot_be_used_are_refused_by_name() {
    let secret = STANDARD.encode(SECRET);
    for (place, field) in [
        ("/clusters/0/cluster/certificate-authority-data", "certificate-authority-data"),
        ("/users/0/user/client-certificate-data", "client-certificate-data"),
        ("/users/0/user/client-key-data", "client-key-data"),
    ] {
        for value in [json!(SECRET), json!(secret), json!(""), json!(7), json!([SECRET])] {
            let error = refusal(|c| *c.pointer_mut(place).unwrap() = value);
            assert!(error.contains(field), "{error}");
        }
    }
    let hollow = STANDARD.encode("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let error = refusal(|c| c["users"][0]["user"]["client-certificate-data"] = json!(hollow));
    assert!(error.contains("client-certificate-data"), "{error}");
    let error = refusal(|c| c["users"][0]["user"]["token"] = json!(SECRET));
    assert!(error.contains("both set"), "{error}");
    assert!(refusal(|c| c["users"][0]["user"] = json!({})).contains("client-certificate-data"));
    for token in [json!(""), json!("a b"), json!("a\r\nHost: x"), json!("ü"), json!(7)] {
        let error = refusal(|c| c["users"][0]["user"] = json!({"token": token}));
        assert!(error.contains("users[0].user.token"), "{error}");
    }
}

#[test]
fn a_missing_server_or_authority_is_refused_by_name() {
    for field in ["server", "certificate-authority-data"] {
        let error = refusal(|c| {
            c["clusters"][0]["cluster"].as_object_mut().unwrap().remove(field);
        });
        assert!(error.contains(field), "{error}");
    }
}

#[test]
fn a_hostile_field_name_is_cut_and_made_printable() {
    let name = format!("evil\n\u{1b}[31m{}", "x".repeat(1_000));
    let error = refusal(|c| c[&name] = json!(1));
    assert!(error.len() < 200 && !error.contains('\n') && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn sixty_four_kibibytes_are_read_and_not_one_byte_more() {
    let mut text = good().to_string();
    text.push_str(&" ".repeat(MAX_BYTES - text.len()));
    assert!(parse(text.as_bytes()).is_ok());
    text.push(' ');
    assert_eq!(parse(text.as_bytes()).unwrap_err(), KubeconfigError::TooLong(MAX_BYTES + 1));
    assert!(parse(&vec![b'a'; 10 << 20]).is_err());
}

#[test]
fn what_is_no_yaml_mapping_is_refused() {
    let reversed: String = good().to_string().chars().rev().collect();
    let reversed = reversed.as_bytes();
    for bytes in
        [b"".as_slice(), b"- a", b"just text", b"\xff\xfe\x00", b"{", b"a: [", b"7", reversed]
    {
        assert_eq!(parse(bytes).unwrap_err(), KubeconfigError::NotYaml);
    }
}

#[test]
fn a_bomb_of_anchors_is_refused_without_exploding() {
    let mut text = String::from("preferences: {}\na0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..30 {
        let inner = vec![format!("*a{}", level - 1); 9].join(",");
        text.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
    }
    assert!(parse(text.as_bytes()).is_err());
    let deep = "[".repeat(30_000);
    assert!(parse(deep.as_bytes()).is_err());
    let deep = "{a: ".repeat(15_000);
    assert!(parse(deep.as_bytes()).is_err());
}

#[test]
fn a_field_that_is_there_twice_or_merged_in_cannot_hide_another() {
    let text = good().to_string();
    let twice = text.replacen("\"server\":", "\"server\":\"https://127.0.0.1\",\"server\":", 1);
    let read = parse(twice.as_bytes()).map(|kubeconfig| kubeconfig.server.host);
    assert_ne!(read, Ok("127.0.0.1".to_owned()));
    let merged = text.replacen("\"user\":{", "\"user\":{\"<<\":{\"exec\":{\"command\":\"x\"}},", 1);
    assert!(parse(merged.as_bytes()).is_err());
}

#[test]
fn two_documents_are_refused() {
    let text = good().to_string();
    assert!(parse(format!("{text}\n---\n{text}\n").as_bytes()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn arbitrary_text_that_looks_like_yaml_never_panics(text in "[a-z:\\-\\[\\]{}&*!|>#'\" \n]{0,300}") {
        let _ = parse(text.as_bytes());
    }

    #[test]
    fn damage_to_a_good_one_never_panics_nor_shows_a_secret(
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let mut bytes = TOKEN_CONFIG.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Err(error) = parse(&bytes) {
            prop_assert!(!error.to_string().contains(SECRET));
        }
    }

    #[test]
    fn no_server_text_leads_to_this_machine(host in "[0-9a-f.:\\[\\]]{1,20}") {
        if let Ok(server) = server(&format!("https://{host}")) {
            let address = server.host.parse::<IpAddr>();
            prop_assert!(address.map_or(true, address_allowed), "{}", server.host);
        }
    }
}

const TOKEN_CONFIG: &str = "clusters: [{name: c, cluster: {server: 'https://203.0.113.5'}}]\n\
    users: [{name: u, user: {token: S3cretValue}}]\n\
    contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n";
