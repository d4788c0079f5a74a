using Agent.Daemon.Access;
using Google.Protobuf.Reflection;

namespace Agent.Tests.Access;

/// <summary>Every method of the contract was thought of.</summary>
public sealed class MethodTests
{
    private static readonly ServiceDescriptor[] Served =
    [
        V1.SecurityGroupAgent.Descriptor,
        Grpc.Health.V1.Health.Descriptor,
        Grpc.Reflection.V1.ServerReflection.Descriptor,
        Grpc.Reflection.V1Alpha.ServerReflection.Descriptor,
    ];

    private static IEnumerable<MethodDescriptor> All => Served.SelectMany(service => service.Methods);

    [Fact]
    public void The_table_is_the_contract() => Assert.Equal(
        All.Select(PathOf).Order(StringComparer.Ordinal), Methods.Known.Keys.Order(StringComparer.Ordinal));

    [Fact]
    public void A_request_of_several_messages_is_known_as_one() => Assert.All(
        All, method => Assert.Equal(method.IsClientStreaming, Methods.Of(PathOf(method)).TakesStream));

    [Fact]
    public void An_answer_of_several_messages_has_its_own_limit() => Assert.All(
        All.Where(method => method.IsServerStreaming),
        method => Assert.Contains(Methods.Of(PathOf(method)).Kind, (CallKind[])[CallKind.Watch, CallKind.Update]));

    [Fact]
    public void Who_observes_changes_nothing() => Assert.Equal(
        ["ApplySnapshot", "CommitStaged", "DiscardStaged", "ExportSessions", "ImportSessions", "SetLogLevel",
            "StageSnapshot", "Sync"],
        All.Where(method => Methods.Of(PathOf(method)).Needs == Role.Controller).Select(method => method.Name)
            .Order(StringComparer.Ordinal));

    [Theory]
    [InlineData("/agent.v1.SecurityGroupAgent/Nothing")]
    [InlineData("/agent.v1.SecurityGroupAgent/getstatus")]
    [InlineData("/metrics")]
    [InlineData("")]
    public void What_is_not_known_is_for_controllers(string path) =>
        Assert.Equal(Role.Controller, Methods.Of(path).Needs);

    private static string PathOf(MethodDescriptor method) => $"/{method.Service.FullName}/{method.Name}";
}
