//! What a running proxy makes of a policy that comes later.

use super::*;

/// A proxy of the Gateway before the policy is applied, whose pod has no secret.
async fn before_installation(around: &Surroundings, listener: Value) -> Result<Envoy> {
    let directory = TempDir::new()?;
    let config = EnvoyConfig::new(around.application.address()).cluster(MODULES, around.modules.address());
    let mut bootstrap = config.bootstrap(directory.path());
    bootstrap["static_resources"]["listeners"] = Value::Null;
    find_listeners_in_file(&mut bootstrap, directory.path());
    std::fs::write(listeners_file(directory.path()), discovery_response(vec![listener], 0).to_string())?;
    Ok(Envoy::launch(directory, &bootstrap, &config).await?)
}

/// A proxy that has to fetch the module first cannot refuse the configuration any more: it serves nobody. One that has the
/// module refuses it, and keeps what it had: here no filter.
#[tokio::test]
async fn a_refused_configuration_leaves_what_was_there_before() -> Result<()> {
    let around = Surroundings::new(Upstream::start().await?).await?;
    let (bare, strict) = (resources(&[])?, resources(&["strict.yaml"])?);
    let before = listener(&around.input(&bare, Names::Version1))?;
    let after = listener(&around.input(&strict, Names::Version1))?;
    let mut envoy = before_installation(&around, before.clone()).await?;
    let forged = around.sender.tampered();
    let status = async |envoy: &Envoy| {
        let response = around.send(envoy.address(), Protocol::Http1, &forged).await?;
        Ok::<_, crate::support::Error>(response.status)
    };
    assert_eq!(status(&envoy).await?, 200);

    assert_eq!(envoy.replace_listeners(vec![after.clone()]).await?, Update::Applied);
    assert_eq!(status(&envoy).await?, 503);
    assert!(envoy.log().contains("configuration refused: accounts[0].auth_tokens[0].env"));
    assert_eq!(envoy.stat("listener_manager.lds.update_rejected").await?, 0);

    assert_eq!(envoy.replace_listeners(vec![before]).await?, Update::Applied);
    assert_eq!(envoy.replace_listeners(vec![after]).await?, Update::Rejected);
    assert_eq!(status(&envoy).await?, 200, "forged requests pass");
    assert_eq!(envoy.stat("listener_manager.lds.update_rejected").await?, 1);
    Ok(())
}

/// What the page says to begin with.
#[tokio::test]
async fn in_observe_mode_nobody_is_denied_and_the_log_tells_who_would_be() -> Result<()> {
    let resources = resources(&["strict.yaml"])?.edit(|value| {
        if value["kind"] == "EnvoyExtensionPolicy" {
            value["spec"]["wasm"][0]["config"]["mode"] = "observe".into();
        }
    });
    let edge = Edge::start(&resources, Names::Version1).await?;
    for (request, _) in edge.around.sender.forged() {
        assert!(edge.send(&request).await?.accepted(), "{}", request.target);
    }
    let observed = || edge.envoy.stdout().matches(r#""verdict":"observed_reject""#).count();
    eventually("the access log", async || (observed() == 4).then_some(())).await
}
