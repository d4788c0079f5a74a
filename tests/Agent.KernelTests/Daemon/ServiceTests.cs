using Agent.TestNet;
using Grpc.Core;
using Grpc.Health.V1;
using Grpc.Net.Client;
using Grpc.Reflection.V1Alpha;

namespace Agent.KernelTests.Daemon;

/// <summary>What answers beside the agent's own service.</summary>
public sealed class ServiceTests
{
    private const string Service = "agent.v1.SecurityGroupAgent";

    [Fact]
    public async Task Health_and_reflection_answer_and_the_socket_is_for_its_group_alone()
    {
        string group = File.ReadLines("/etc/group").Select(line => line.Split(':'))
            .First(parts => parts[2] is not "0")[0];
        await using DaemonLab lab = await DaemonLab.StartAsync(c => c["grpc"]!["socket_group"] = group);
        foreach (string name in (string[])["", Service])
        {
            HealthCheckResponse health = await new Health.HealthClient(lab.Daemon.Channel).CheckAsync(
                new HealthCheckRequest { Service = name }, cancellationToken: TestContext.Current.CancellationToken);
            Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, health.Status);
        }

        Assert.Equal(
            [Service, "grpc.health.v1.Health"],
            (await ServicesAsync(lab.Daemon.Channel)).Intersect([Service, "grpc.health.v1.Health"]));
        Assert.Equal($"{group} 660 socket\n", SystemCommand.Run("stat", "-c", "%G %a %F", lab.Daemon.SocketPath));

        await lab.Daemon.StopAsync();
        string mode = (await File.ReadAllTextAsync(lab.Daemon.ConfigurationPath, TestContext.Current.CancellationToken))
            .Replace("\"socket_group\"", "\"socket_mode\": \"0600\", \"socket_group\"", StringComparison.Ordinal);
        await File.WriteAllTextAsync(lab.Daemon.ConfigurationPath, mode, TestContext.Current.CancellationToken);
        await lab.Daemon.LaunchAsync();
        await lab.StatusAsync();
        Assert.Equal($"{group} 600 socket\n", SystemCommand.Run("stat", "-c", "%G %a %F", lab.Daemon.SocketPath));
    }

    private static async Task<List<string>> ServicesAsync(GrpcChannel channel)
    {
        using AsyncDuplexStreamingCall<ServerReflectionRequest, ServerReflectionResponse> call =
            new ServerReflection.ServerReflectionClient(channel).ServerReflectionInfo();
        await call.RequestStream.WriteAsync(new ServerReflectionRequest { ListServices = "" });
        Assert.True(await call.ResponseStream.MoveNext());
        List<string> names = [.. call.ResponseStream.Current.ListServicesResponse.Service.Select(s => s.Name)];
        await call.RequestStream.WriteAsync(new ServerReflectionRequest { FileContainingSymbol = $"{Service}.Sync" });
        Assert.True(await call.ResponseStream.MoveNext());
        Assert.NotEmpty(call.ResponseStream.Current.FileDescriptorResponse.FileDescriptorProto);
        await call.RequestStream.CompleteAsync();
        return names;
    }
}
