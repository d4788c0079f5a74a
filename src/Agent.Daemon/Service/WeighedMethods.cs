using Agent.Contract;
using Agent.Daemon.Access;
using Agent.V1;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;

namespace Agent.Daemon.Service;

/// <summary>
/// The service's methods, where those that bring a state weigh a message before they unpack it. Fields that this
/// version does not know are not kept: what is held and saved is what was understood.
/// </summary>
internal sealed class WeighedMethods(ServiceBinderBase methods) : ServiceBinderBase
{
    /// <summary>Named by <see cref="AgentService"/>'s attribute.</summary>
    public static void Bind(ServiceBinderBase methods, SecurityGroupAgent.SecurityGroupAgentBase? service) =>
        SecurityGroupAgent.BindService(new WeighedMethods(methods), service);

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, UnaryServerMethod<TRequest, TResponse>? handler) =>
        methods.AddMethod(Weighed(method), handler);

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, ClientStreamingServerMethod<TRequest, TResponse>? handler) =>
        methods.AddMethod(Weighed(method), handler);

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, ServerStreamingServerMethod<TRequest, TResponse>? handler) =>
        methods.AddMethod(Weighed(method), handler);

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method, DuplexStreamingServerMethod<TRequest, TResponse>? handler) =>
        methods.AddMethod(Weighed(method), handler);

    private static Method<TRequest, TResponse> Weighed<TRequest, TResponse>(Method<TRequest, TResponse> method)
        where TRequest : class where TResponse : class
    {
        if (Methods.Of(method.FullName).Kind != CallKind.Update)
        {
            return method;
        }

        MessageDescriptor type = SecurityGroupAgent.Descriptor.FindMethodByName(method.Name).InputType;
        MessageParser parser = type.Parser.WithDiscardUnknownFields(true);
        return new Method<TRequest, TResponse>(
            method.Type, method.ServiceName, method.Name,
            Marshallers.Create(
                method.RequestMarshaller.ContextualSerializer, context => (TRequest)Read(context, type, parser)),
            method.ResponseMarshaller);
    }

    private static IMessage Read(DeserializationContext context, MessageDescriptor type, MessageParser parser)
    {
        if (MessageWeight.Of(context.PayloadAsReadOnlySequence(), type) > MessageWeight.Most)
        {
            throw new RpcException(new Status(StatusCode.ResourceExhausted,
                $"the {type.Name} has too many parts (rules, vNICs, members, ...) to be unpacked here;"
                + " send it as a snapshot of several chunks, or as several deltas"));
        }

        try
        {
            return parser.ParseFrom(context.PayloadAsReadOnlySequence());
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new RpcException(new Status(
                StatusCode.InvalidArgument, $"these bytes are no {type.Name} of agent.proto: {e.Message}"));
        }
    }
}
