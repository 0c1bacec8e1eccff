use super::*;

fn refused(body: &str) -> object_store::Error {
    let source = format!(
        "Error performing PUT https://host/b/o?X-Sig=secret in 1ms - Server returned non-2xx \
         status code: 403 Forbidden: {body}"
    );
    object_store::Error::Generic {
        store: "S3",
        source: source.into(),
    }
}

fn subject(names: Names) -> Subject {
    Subject {
        bucket: "moltbot-data".to_owned(),
        names,
    }
}

fn check(body: &str, fault: Fault, words: &[&str]) {
    for names in [Names::R2, Names::S3] {
        let found = subject(names).explain("create", &refused(body));
        assert_eq!(found.fault, fault, "{body}: {found}");
        for secret in ["AKIA", "secret", "://", "<"] {
            assert!(
                !found
                    .message
                    .replace("secret access key", "")
                    .contains(secret),
                "{found}"
            );
        }
    }
    let said = subject(Names::R2).explain("create", &refused(body)).message;
    for word in words {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
}

#[test]
fn every_code_that_a_person_can_act_on_says_what_to_do() {
    let code = |code: &str| format!("<Error><Code>{code}</Code><Key>AKIA</Key></Error>");
    check(
        &code("InvalidAccessKeyId"),
        Fault::AccessKeyUnknown,
        &["R2_ACCESS_KEY_ID"],
    );
    check(
        &code("Unauthorized"),
        Fault::AccessKeyUnknown,
        &["R2_ACCESS_KEY_ID"],
    );
    check(
        &code("InvalidArgument"),
        Fault::AccessKeyUnknown,
        &["R2_ACCESS_KEY_ID"],
    );
    check(
        &code("SignatureDoesNotMatch"),
        Fault::SecretWrong,
        &["R2_SECRET_ACCESS_KEY"],
    );
    check(
        &code("NoSuchBucket"),
        Fault::BucketMissing,
        &["moltbot-data", "wrangler"],
    );
    check(
        &code("AccessDenied"),
        Fault::Denied,
        &["create", "Object Read & Write"],
    );
    check(
        &code("RequestTimeTooSkewed"),
        Fault::ClockWrong,
        &["clock", "too far off"],
    );
    check(
        &code("NotImplemented"),
        Fault::ConditionUnsupported,
        &["two gateways"],
    );
    check(&code("SlowDown"), Fault::Throttled, &["fewer"]);
    check(
        &code("SomethingNew"),
        Fault::Unexpected,
        &["R2 refuses with SomethingNew"],
    );
    check("not xml at all", Fault::Unexpected, &[]);
}

#[test]
fn the_clock_is_said_to_be_off_by_how_much_and_blamed_before_the_secret() {
    let body = |code: &str, ahead: i64| {
        format!("<Error><Code>{code}</Code><ClockAhead>{ahead}</ClockAhead></Error>")
    };
    check(
        &body("RequestTimeTooSkewed", 7260),
        Fault::ClockWrong,
        &["121 minutes ahead"],
    );
    check(
        &body("SignatureDoesNotMatch", -3600),
        Fault::ClockWrong,
        &["60 minutes behind"],
    );
    check(&body("SignatureDoesNotMatch", -30), Fault::SecretWrong, &[]);
}

#[test]
fn reasons_hold_no_address_and_no_body() {
    let error = object_store::Error::Generic {
        store: "S3",
        source: "PUT https://host/b/o?X-Sig=secret got 403 <Error>AKIA</Error>".into(),
    };
    let said = subject(Names::S3).explain("create", &error).message;
    assert_eq!(said, "Generic S3 error: PUT got 403");
}

#[test]
fn codes_are_stable_and_distinct() {
    let all = [
        Fault::AccessKeyUnknown,
        Fault::SecretWrong,
        Fault::BucketMissing,
        Fault::Denied,
        Fault::ClockWrong,
        Fault::ConditionIgnored,
        Fault::ConditionUnsupported,
        Fault::WrongContent,
        Fault::NameUnknown,
        Fault::Insecure,
        Fault::Unreachable,
        Fault::Timeout,
        Fault::Throttled,
        Fault::ServerFailed,
        Fault::WrongRegion,
        Fault::Absent,
        Fault::Unexpected,
    ];
    let codes: std::collections::BTreeSet<&str> = all.iter().map(|fault| fault.code()).collect();
    assert_eq!(codes.len(), all.len());
    for fault in all {
        assert!(!subject(Names::R2).of(fault, "create").message.is_empty());
    }
}
